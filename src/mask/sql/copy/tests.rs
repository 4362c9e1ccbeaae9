use proptest::prelude::*;

use super::super::catalog::Column as Known;
use super::*;
use crate::decide::{Class, Consequence, Object};
use crate::mask::detect::Detector;

fn catalog() -> Catalog {
    let column = |(index, &(name, type_oid)): (usize, &(&str, u32))| Known {
        attnum: i16::try_from(index + 1).unwrap(),
        name: name.into(),
        type_oid,
    };
    let relation = |oid, schema: &str, name: &str, columns: &[(&str, u32)]| Relation {
        oid,
        schema: schema.into(),
        name: name.into(),
        kind: b'r',
        sources: Vec::new(),
        columns: columns.iter().enumerate().map(column).collect(),
    };
    Catalog::new([
        relation(20_001, "public", "people", &[("id", 23), ("ssn", 25), ("note", 25)]),
        relation(20_002, "public", "orders", &[("id", 23), ("note", 25)]),
        relation(20_003, "hr", "twice", &[("ssn", 25)]),
        relation(20_004, "public", "twice", &[("id", 25), ("note", 25)]),
        relation(20_005, "public", "alike", &[("id", 23), ("ssn", 25), ("note", 25)]),
        relation(20_006, "alt", "alike", &[("id", 23), ("other", 25), ("note", 25)]),
        relation(20_007, "public", "clean", &[("id", 23)]),
        relation(20_008, "alt", "clean", &[("note", 25), ("id", 23)]),
        relation(20_009, "public", "typed", &[("id", 23), ("ssn", 25)]),
        relation(20_010, "alt", "typed", &[("id", 23), ("ssn", 23)]),
    ])
}

fn text() -> CopyFormat {
    CopyFormat::Text { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
}

fn csv() -> CopyFormat {
    CopyFormat::Csv { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new(), header: true }
}

fn planned(relation: Option<&str>, columns: &[&str], format: CopyFormat) -> CopyPlanned {
    let object = |name: &str| {
        let (schema, name) = name.split_once('.').map_or((None, name), |(s, n)| (Some(s), n));
        let namespace = schema.map(str::to_owned).into_iter().collect();
        Object { namespace, name: name.to_owned(), write: false }
    };
    let copy = Copy {
        from_client: false,
        relation: relation.map(object),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        format,
    };
    let statement = Statement {
        classes: Class::Read.only(),
        operation: "COPY".into(),
        cascades: false,
        objects: [object(relation.unwrap_or("people"))].into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        whole_rows: false,
        made: Vec::new(),
        star: None,
        stored: None,
        shows: Vec::new(),
        sinks: Vec::new().into(),
        effect: Consequence::Copy(copy.clone()),
        cursors: [].into(),
        facts: Vec::new(),
        causes: Vec::new(),
        uses: Vec::new().into(),
    };
    let rules = [ColumnRule::compile("*.*.ssn", Operator::Partial)];
    let detectors = Detectors::new([(Detector::Email, Operator::Redact)]);
    plan(&rules, &Rc::new(detectors), &catalog(), (&copy, &statement))
}

fn masker(relation: &str, columns: &[&str], format: CopyFormat) -> Box<CopyMasker> {
    match planned(Some(relation), columns, format) {
        CopyPlanned::Masked(masker) => masker,
        other => panic!("{other:?}"),
    }
}

/// The data in pieces of each size gives the same.
#[track_caller]
fn check(make: impl Fn() -> Box<CopyMasker>, data: &[u8], expect: Result<&[u8], CopyFault>) {
    for size in 1..=data.len().max(1) {
        let (mut masker, mut out, mut hits) = (make(), Vec::new(), Hits::default());
        let fed = data.chunks(size).try_for_each(|piece| masker.feed(piece, &mut out, &mut hits));
        let result = fed.and_then(|()| masker.finish(&mut out, &mut hits));
        match expect {
            Ok(expect) => {
                assert_eq!(result, Ok(()), "in pieces of {size}");
                let shown = String::from_utf8_lossy(&out);
                assert_eq!(shown, String::from_utf8_lossy(expect), "in pieces of {size}");
            }
            Err(fault) => {
                assert_eq!(result, Err(fault), "in pieces of {size}");
                assert_eq!(masker.feed(b"1\t2\t3\n", &mut out, &mut hits), Err(fault));
            }
        }
    }
}

#[test]
fn text_is_masked_by_position() {
    check(
        || masker("public.people", &[], text()),
        b"1\t123-45-6789\tbob@example.com\n2\t\\N\ta\\tb\\\\c\n\\.\n",
        Ok(b"1\t***-**-6789\t[EMAIL]\n2\t\\N\ta\\tb\\\\c\n\\.\n"),
    );
    check(
        || masker("people", &["note", "ssn"], text()),
        b"\\tbob@example.com\\n\t123456\\t89\n",
        Ok(b"\\t[EMAIL]\\n\t*****6\\t89\n".as_slice()),
    );
    // No line feed at the end.
    check(|| masker("orders", &[], text()), b"1\tbob@example.com", Ok(b"1\t[EMAIL]"));
}

#[test]
fn csv_is_masked_by_position() {
    check(
        || masker("people", &[], csv()),
        b"id,ssn,note\n1,123-45-6789,\"a \"\"b\"\"\nbob@example.com\"\n2,,\"\"\n",
        Ok(b"id,ssn,note\n1,\"***-**-6789\",\"a \"\"b\"\"\n[EMAIL]\"\n2,,\"\"\n"),
    );
    let odd = || CopyFormat::Csv {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"NULL".to_vec(),
        header: false,
    };
    check(
        || masker("people", &[], odd()),
        b"1;'12\\'34567;89\n0';'it\\\\\\'s bob@example.com'\nNULL;NULL;NULL\n",
        Ok(b"1;'*********89\n0';'it\\\\\\'s [EMAIL]'\nNULL;NULL;NULL\n"),
    );
}

#[test]
fn a_row_of_another_shape_is_refused() {
    check(|| masker("people", &[], text()), b"1\t2\n", Err(CopyFault::FieldCount));
    check(|| masker("people", &[], text()), b"1\t2\t3\t4\n", Err(CopyFault::FieldCount));
    // Nothing is hidden by position here, so the shape does not matter.
    check(|| masker("orders", &[], text()), b"1\tb@c.de\tx\n", Ok(b"1\t[EMAIL]\tx\n"));
}

fn binary(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
    let mut data = BINARY_SIGNATURE.to_vec();
    data.extend_from_slice(&[0; 8]);
    for row in rows {
        data.extend_from_slice(&u16::try_from(row.len()).unwrap().to_be_bytes());
        for value in *row {
            match value {
                None => data.extend_from_slice(&[0xff; 4]),
                Some(value) => {
                    data.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                    data.extend_from_slice(value);
                }
            }
        }
    }
    data.extend_from_slice(&[0xff; 2]);
    data
}

#[test]
fn binary_is_masked_by_position() {
    let before = binary(&[
        &[Some(&[0, 0, 0, 1]), Some(b"123-45-6789"), Some(b"bob@example.com")],
        &[None, None, None],
    ]);
    let after = binary(&[
        &[Some(&[0, 0, 0, 1]), Some(b"***-**-6789"), Some(b"[EMAIL]")],
        &[None, None, None],
    ]);
    check(|| masker("people", &[], CopyFormat::Binary), &before, Ok(&after));
    check(
        || masker("people", &[], CopyFormat::Binary),
        &before[..before.len() - 8],
        Err(CopyFault::Malformed),
    );
    let two = binary(&[&[None, None]]);
    check(|| masker("people", &[], CopyFormat::Binary), &two, Err(CopyFault::FieldCount));
    check(|| masker("people", &[], CopyFormat::Binary), &[0; 30], Err(CopyFault::Malformed));
}

#[test]
fn queries_over_masked_columns_are_refused() {
    assert!(matches!(planned(None, &["ssn"], text()), CopyPlanned::Refuse(_)));
    assert!(matches!(planned(None, &["id"], text()), CopyPlanned::Masked(_)));
    let query = || match planned(None, &["id"], CopyFormat::Binary) {
        CopyPlanned::Masked(masker) => masker,
        other => panic!("{other:?}"),
    };
    // The types are not known: what holds a find is NULL.
    let before = binary(&[&[Some(b"bob@example.com"), Some(b"x")]]);
    check(query, &before, Ok(&binary(&[&[None, Some(b"x")]])));
}

#[test]
fn names_that_fit_no_or_several_tables() {
    assert!(matches!(planned(Some("absent"), &[], text()), CopyPlanned::NeedCatalog));
    assert!(matches!(planned(Some("people"), &["new"], text()), CopyPlanned::NeedCatalog));
    assert!(matches!(planned(Some("twice"), &[], text()), CopyPlanned::Refuse(_)));
    assert!(matches!(planned(Some("hr.twice"), &[], text()), CopyPlanned::Masked(_)));
    assert!(matches!(planned(Some("typed"), &[], text()), CopyPlanned::Refuse(_)));
    assert!(matches!(planned(Some("typed"), &["ssn"], text()), CopyPlanned::Refuse(_)));
    assert!(matches!(planned(Some("clean"), &["new"], text()), CopyPlanned::NeedCatalog));
}

#[test]
fn what_hides_one_of_several_tables_of_a_name_hides_the_column() {
    check(
        || masker("alike", &[], text()),
        b"1\t123-45-6789\tbob@example.com\n",
        Ok(b"1\t***-**-6789\t[EMAIL]\n"),
    );
    check(|| masker("alike", &[], text()), b"1\t2\n", Err(CopyFault::FieldCount));
    check(
        || masker("alike", &["note", "ssn"], text()),
        b"bob@example.com\t123-45-6789\n",
        Ok(b"[EMAIL]\t***-**-6789\n".as_slice()),
    );
    check(|| masker("alike", &["other"], text()), b"x\n", Ok(b"x\n"));
    check(|| masker("typed", &["id"], text()), b"1\n", Ok(b"1\n"));
    check(|| masker("twice", &["note"], text()), b"bob@example.com\n", Ok(b"[EMAIL]\n"));
    // None of them hides anything, so the shape does not matter.
    check(|| masker("clean", &[], text()), b"bob@example.com\t1\n", Ok(b"[EMAIL]\t1\n"));
}

#[test]
fn rows_are_held_up_to_the_limit() {
    let mut masker = masker("people", &[], text());
    let (mut out, mut hits) = (Vec::new(), Hits::default());
    let piece = vec![b'x'; 1 << 20];
    let mut fed = 0;
    let fault = loop {
        match masker.feed(&piece, &mut out, &mut hits) {
            Ok(()) => fed += piece.len(),
            Err(fault) => break fault,
        }
        assert!(fed <= limits::MASKED_ROW_BYTES_MAX as usize);
    };
    assert_eq!(fault, CopyFault::RowTooLong);
    assert!(masker.held.is_empty() && out.is_empty());
}

/// Signs that JSON writes as escapes; in text a backslash is written twice.
#[test]
fn escapes_of_json_are_read() {
    check(
        || masker("orders", &[], text()),
        b"1\t{\"a\": \"bob\\\\u0040example.com\"}\n2\t{\"a\": \"\\\\u00fc\"}\n",
        Ok(b"1\t{\"a\": \"[EMAIL]\"}\n2\t{\"a\": \"\\\\u00fc\"}\n".as_slice()),
    );
    check(
        || masker("orders", &[], csv()),
        b"id,note\n1,\"{\"\"a\"\": \"\"bob\\u0040example.com\"\"}\"\n2,bob\\u0040example.com\n",
        Ok(b"id,note\n1,\"{\"\"a\"\": \"\"[EMAIL]\"\"}\"\n2,\"[EMAIL]\"\n".as_slice()),
    );
}

proptest! {
    /// What is written reads as itself, in every dialect.
    #[test]
    fn values_round_trip(value in prop::collection::vec(
        prop::sample::select(&b"ab\\\t\n\r,;\"'\x08\x0b\x0cNx01\xc3"[..]), 0..20)) {
        for format in [text(), csv()] {
            let dialect = Dialect::of(&format);
            let mut raw = Vec::new();
            dialect.write(&value, &mut raw);
            let read = dialect.read(&raw);
            prop_assert_eq!(read.as_ref(), value.as_slice());
            let mut fields = vec![];
            dialect.split(&raw, true, &mut fields);
            prop_assert_eq!(fields, vec![(0, raw.len())]);
        }
    }

    /// Fields are searched with the candidates of the whole row: as if each were searched alone,
    /// whatever stands between them.
    #[test]
    fn fields_are_searched_as_by_themselves(
        row in "(4111111111111111[ \\-,\t]?){1,4}|[0-9 \\-\t,|D]{0,60}|[a-cD@.\t,|\"\\\\]{0,40}|\
                (DE89370400440532013000|de89370400440532013000|4111 1111 1111 1111|\t|,|-| |\"|a@b.cd|\
                [0-9ax._)]){0,9}",
        delimiter in prop::sample::select(&b"\t,|D -.)ax_"[..]),
        quote in prop::sample::select(&b"\"-|"[..]),
        is_csv: bool,
    ) {
        let format = if is_csv {
            let null = Vec::new();
            CopyFormat::Csv { delimiter, quote, escape: quote, null, header: false }
        } else {
            CopyFormat::Text { delimiter, null: b"\\N".to_vec(), header: false }
        };
        prop_assume!(!is_csv || delimiter != quote);
        let row = row.as_bytes();
        let on = [Detector::Email, Detector::CreditCard, Detector::Iban, Detector::UsSsn];
        let detectors = Detectors::new(on.map(|detector| (detector, Operator::Redact)));
        let mut masker = CopyMasker::new(&format, None, false, Rc::new(detectors));
        let (mut expect, mut fields) = (Vec::new(), Vec::new());
        let (dialect, mut scratch) = (Rc::clone(&masker.dialect), Scratch::default());
        dialect.split(row, true, &mut fields);
        for (index, &(start, end)) in fields.iter().enumerate() {
            expect.extend((index > 0).then_some(delimiter));
            let raw = &row[start..end];
            let value = dialect.read(raw);
            let finds = masker.detectors.find(&value, &mut scratch);
            let seen = escapes::find(&masker.detectors, &value, finds);
            if raw == dialect.null || seen.is_empty() {
                expect.extend_from_slice(raw);
            } else {
                let scan = Scan::Text;
                write_found(&masker.detectors, scan, (&value, &seen), &dialect, &mut expect);
            }
        }
        let (mut out, mut hits) = (Vec::new(), Hits::default());
        masker.line(row, &mut out, &mut hits).expect("a row");
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expect));
    }

    #[test]
    fn any_data_is_fine(data in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
        for format in [text(), csv(), CopyFormat::Binary] {
            let (mut out, mut hits) = (Vec::new(), Hits::default());
            let mut masker = masker("orders", &[], format);
            let mut pieces = data.chunks(size);
            let fed = pieces.try_for_each(|piece| masker.feed(piece, &mut out, &mut hits));
            let _ = fed.and_then(|()| masker.finish(&mut out, &mut hits));
        }
    }
}
