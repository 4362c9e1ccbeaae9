//! The stages, as data: what each works on, and what it must find.
//!
//! In: the corpus. Out: `Work`. Never: setting up inside a pass. The stages that need a folder
//! stand in `disk`.

use std::hint::black_box;

use weir::config::settings::MaskSpec;
use weir::decide::sql::classify::classify_uncached;
use weir::decide::{Classifier, Consequence, Statement};
use weir::fault::Malformed;
use weir::identify::scram::{
    Binding, ClientExchange, MECHANISM, SaltedCache, ServerExchange, Verifier,
};
use weir::mask::sql::catalog::{Catalog, Column, Relation};
use weir::mask::sql::copy::CopyPlanned;
use weir::mask::sql::plan::{Field, Planned};
use weir::mask::{Edits, Hits, Operator, Plan, Policy};
use weir::record::journal::{self, END_BYTES, Frames, Step as JournalStep};
use weir::wire::postgres::frame::{Framer, Step, Treat};
use weir::wire::postgres::message::ClientMessage;

use super::{corpus, disk, session};

/// One stage.
pub struct Stage {
    pub name: &'static str,
    pub about: &'static str,
    pub prepare: fn() -> Work,
}

/// What is repeated.
pub struct Work {
    /// Operations in one pass.
    pub operations: u64,
    /// Bytes that one pass works through.
    pub bytes: u64,
    /// What `pass` returns when it is right.
    pub expect: u64,
    pub pass: Box<dyn FnMut() -> u64>,
    /// How often `pass` can be called before it has to be prepared anew.
    pub passes_max: u64,
}

impl Work {
    /// Work that can be repeated for ever.
    pub fn new(
        (operations, bytes): (u64, u64),
        expect: u64,
        pass: impl FnMut() -> u64 + 'static,
    ) -> Work {
        Work { operations, bytes, expect, pass: Box::new(pass), passes_max: u64::MAX }
    }
}

/// Every stage, in the order of the flow.
pub const STAGES: [Stage; 18] = [
    Stage {
        name: "login",
        about: "SCRAM of a client and of a target, derived keys at hand",
        prepare: login,
    },
    Stage {
        name: "frame-decode",
        about: "a prepared request: Bind, Describe, Execute, Sync",
        prepare: frame_decode,
    },
    Stage {
        name: "session-simple",
        about: "a SELECT of one row through a session and its journal, each text another one",
        prepare: session::simple,
    },
    Stage {
        name: "session-extended",
        about: "the same by Parse, Bind, Describe, Execute, Sync",
        prepare: session::extended,
    },
    Stage { name: "session-prepared", about: "the same without Parse", prepare: session::prepared },
    Stage { name: "frame-rows", about: "a DataRow of 1 KB, framed", prepare: frame_rows },
    Stage { name: "classify-hit", about: "a text seen before", prepare: classify_hit },
    Stage { name: "classify-miss", about: "a text never seen", prepare: classify_miss },
    Stage {
        name: "journal-write",
        about: "a command and its response, encoded with their checksums",
        prepare: journal_write,
    },
    Stage {
        name: "journal-commit",
        about: "a command and its response into the mapped journal of a shard",
        prepare: disk::journal_commit,
    },
    Stage {
        name: "journal-read",
        about: "a command and its response, checked and decoded",
        prepare: journal_read,
    },
    Stage {
        name: "mask-clean",
        about: "a row of 1 KB, e-mail and card detectors, nothing in it",
        prepare: mask_clean,
    },
    Stage {
        name: "mask-dense",
        about: "a row of 1 KB with an e-mail address and a card number",
        prepare: mask_dense,
    },
    Stage {
        name: "mask-digests",
        about: "a row of 1 KB of hexadecimal digests, five detectors, nothing in it",
        prepare: mask_digests,
    },
    Stage {
        name: "mask-columns",
        about: "a row of 1 KB, one column masked whole",
        prepare: mask_columns,
    },
    Stage {
        name: "mask-copy",
        about: "a line of COPY of 1 KB, one column masked in part, the others searched",
        prepare: mask_copy,
    },
    Stage { name: "seal", about: "a command and its response into Parquet", prepare: disk::seal },
    Stage {
        name: "search",
        about: "a recorded command, its text searched for a word that one of 64 holds",
        prepare: disk::search,
    },
];

fn login() -> Work {
    const LOGINS: u64 = 100;
    const PASSWORD: &str = "oak and stone";
    let verifier = Verifier::from_password(PASSWORD, b"salt of the corpus", 4096);
    let mut cache = SaltedCache::new();
    let mut exchange = move |number: u64| {
        let mut server = ServerExchange::new("bench", Some(&verifier), &[7; 32], &[9; 18]);
        let mut client = ClientExchange::new(PASSWORD, &format!("nonce{number}"), Binding::None);
        let first = server.begin(MECHANISM.as_bytes(), &client.first())?;
        let last = server.client_final(&client.server_first(&first, &mut cache)?)?;
        client.server_final(&last)
    };
    let pass = move || (0..LOGINS).filter(|number| exchange(*number).is_ok()).count() as u64;
    // The messages are short; their bytes are not what a login is measured by.
    Work::new((LOGINS, 0), LOGINS, pass)
}

/// `Framer::next` is generic, so it is compiled here. One instance that is never inlined keeps its
/// count a matter of its own code, not of how large the stages around it have grown.
#[inline(never)]
fn next_frame<'s, 'b: 's>(
    framer: &'s mut Framer,
    input: &mut &'b [u8],
) -> Result<Step<'s>, Malformed> {
    framer.next(input, 1 << 20, |_, _| Treat::Hold)
}

fn frame_decode() -> Work {
    const REQUESTS: u64 = 1000;
    let stream = corpus::prepared_requests(REQUESTS as usize);
    let bytes = stream.len() as u64;
    let pass = move || {
        let (mut framer, mut input, mut messages) = (Framer::default(), &stream[..], 0);
        while let Ok(Step::Whole { tag, frame }) = next_frame(&mut framer, &mut input) {
            messages += u64::from(black_box(ClientMessage::parse(tag, &frame[5..])).is_some());
        }
        messages
    };
    Work::new((REQUESTS, bytes), 4 * REQUESTS, pass)
}

fn frame_rows() -> Work {
    const ROWS: u64 = 1000;
    let stream = corpus::row_messages(ROWS as usize);
    let bytes = stream.len() as u64;
    let pass = move || {
        let (mut framer, mut input, mut found) = (Framer::default(), &stream[..], 0);
        while let Ok(Step::Whole { frame, .. }) = next_frame(&mut framer, &mut input) {
            found += black_box(frame).len() as u64;
        }
        found
    };
    Work::new((ROWS, bytes), bytes, pass)
}

fn classify_hit() -> Work {
    let texts = corpus::texts(100);
    let bytes = texts.iter().map(Vec::len).sum::<usize>() as u64;
    let mut classifier = Classifier::new();
    let pass = move || {
        let objects = texts.iter().map(|text| classifier.classify(text).action.objects.len());
        objects.sum::<usize>() as u64
    };
    Work::new((100, bytes), 200, pass)
}

fn classify_miss() -> Work {
    let texts = corpus::texts(100);
    let bytes = texts.iter().map(Vec::len).sum::<usize>() as u64;
    let pass = move || {
        let objects = texts.iter().map(|text| classify_uncached(text).action.objects.len());
        objects.sum::<usize>() as u64
    };
    Work::new((100, bytes), 200, pass)
}

fn journal_write() -> Work {
    const PAIRS: u64 = 1000;
    let texts = corpus::texts(64);
    let objects = corpus::objects();
    let salt = corpus::header().salt();
    let mut segment = vec![0; corpus::segment(PAIRS).len() + END_BYTES];
    let bytes = corpus::segment(PAIRS).len() as u64 - (journal::HEADER_BYTES + END_BYTES) as u64;
    let pass = move || {
        let mut at = 0;
        for number in 0..PAIRS {
            let text = &texts[number as usize % texts.len()];
            let (asked, answered) = (2 * number, 2 * number + 1);
            for (index, entry) in
                [(asked, corpus::command(text, &objects)), (answered, corpus::response(asked))]
            {
                let body = journal::body_bytes(&entry);
                let into = &mut segment[at..];
                at += journal::write_entry(into, &salt, &corpus::place(index), &entry, body);
            }
        }
        black_box(&segment);
        at as u64
    };
    Work::new((PAIRS, bytes), bytes, pass)
}

fn journal_read() -> Work {
    const PAIRS: u64 = 1000;
    let segment = corpus::segment(PAIRS);
    let header = corpus::header();
    let bytes = segment.len() as u64;
    let pass = move || {
        let whole = Frames::new(&segment, &header).filter(|step| match step {
            JournalStep::Frame(frame) => black_box(frame.body()).is_some(),
            JournalStep::Gap(_) => false,
        });
        whole.count() as u64
    };
    Work::new((PAIRS, bytes), 2 * PAIRS, pass)
}

fn mask_clean() -> Work {
    mask(detectors(), corpus::clean_row, 0)
}

fn mask_dense() -> Work {
    mask(detectors(), corpus::dense_row, 2)
}

fn mask_digests() -> Work {
    let names = ["email", "credit-card", "iban", "private-key", "jwt"];
    let detect = names.map(String::from).to_vec();
    mask(MaskSpec { detect, ..detectors() }, corpus::digest_row, 0)
}

fn mask_columns() -> Work {
    let columns = MaskSpec { columns: vec!["*.*.c3".into()], detect: vec![], ..detectors() };
    mask(columns, corpus::clean_row, 1)
}

fn detectors() -> MaskSpec {
    MaskSpec {
        columns: vec![],
        paths: Vec::new(),
        objects: vec![],
        detect: vec!["email".into(), "credit-card".into()],
        operator: Operator::Redact,
        targets: vec![],
        except_groups: vec![],
    }
}

fn mask(spec: MaskSpec, row: fn(usize) -> Vec<u8>, hits_per_row: u64) -> Work {
    const ROWS: u64 = 1000;
    let rows: Vec<Vec<u8>> = (0..ROWS as usize).map(row).collect();
    let bytes = rows.iter().map(Vec::len).sum::<usize>() as u64;
    let plan = plan(spec);
    let (mut edits, mut hits, mut out) = (Edits::default(), Hits::default(), Vec::new());
    let pass = move || {
        let mut walked = 0;
        for body in &rows {
            let planned = plan.row(body, &mut edits, &mut hits);
            if !edits.is_empty() {
                out.clear();
                edits.apply(body, &mut out);
                black_box(&out);
            }
            walked += u64::from(planned.is_ok());
        }
        let found = hits.total();
        hits.drain();
        walked + found
    };
    Work::new((ROWS, bytes), ROWS * (1 + hits_per_row), pass)
}

fn mask_copy() -> Work {
    const ROWS: u64 = 1000;
    let rows: Vec<Vec<u8>> = (0..ROWS as usize).map(corpus::clean_line).collect();
    let bytes = rows.iter().map(Vec::len).sum::<usize>() as u64;
    let columns = vec!["*.*.c3".into()];
    let view = Policy::compile(&[MaskSpec { columns, operator: Operator::Partial, ..detectors() }])
        .view("bench", &[]);
    let classified = classify_uncached(b"COPY notes TO STDOUT");
    let [Statement { effect: Consequence::Copy(copy), .. }] = &classified.statements[..] else {
        panic!("COPY is one statement");
    };
    let planned = view.copy(Some(&catalog()), copy, &classified.statements[0]);
    let CopyPlanned::Masked(mut masker) = planned else { panic!("{planned:?}") };
    let (mut hits, mut out) = (Hits::default(), Vec::new());
    let pass = move || {
        let mut fed = 0;
        for line in &rows {
            out.clear();
            fed += u64::from(masker.feed(line, &mut out, &mut hits).is_ok());
            black_box(&out);
        }
        let found = hits.total();
        hits.drain();
        fed + found
    };
    Work::new((ROWS, bytes), 2 * ROWS, pass)
}

const TABLE: u32 = 16_384;
const TEXT: u32 = 25;

fn column_names() -> Vec<String> {
    (0..8).map(|n| format!("c{n}")).collect()
}

/// Of one table with eight text columns.
fn catalog() -> Catalog {
    let columns = column_names()
        .into_iter()
        .zip(1_i16..)
        .map(|(name, attnum)| Column { attnum, name, type_oid: TEXT })
        .collect();
    let relation = Relation {
        oid: TABLE,
        schema: "public".into(),
        name: "notes".into(),
        kind: b'r',
        sources: vec![],
        columns,
    };
    Catalog::new([relation])
}

/// A plan for the columns of that table.
fn plan(spec: MaskSpec) -> Plan {
    let (names, catalog) = (column_names(), catalog());
    let fields: Vec<Field<'_>> = names
        .iter()
        .zip(1_i16..)
        .map(|(name, attnum)| Field {
            name: name.as_bytes(),
            table_oid: TABLE,
            attnum,
            type_oid: TEXT,
            format: 0,
        })
        .collect();
    match Policy::compile(&[spec]).view("bench", &[]).plan(Some(&catalog), &fields, Some(&[])) {
        Planned::Ready(plan) => plan,
        Planned::NeedCatalog => panic!("the catalog of the corpus lacks its table"),
    }
}
