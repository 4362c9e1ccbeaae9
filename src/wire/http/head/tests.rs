use super::*;

fn filled(fields: &[(&str, &str)]) -> Result<Head, Refused> {
    let mut head = Head::default();
    head.clear(Version::Http11);
    for (name, value) in fields {
        let name = head.append(name.as_bytes())?;
        let value = head.append(value.as_bytes())?;
        head.push(name, value, false)?;
    }
    Ok(head)
}

#[test]
fn fields_keep_their_order_and_spelling() {
    let head = filled(&[("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("hOsT", "a.b")]).expect("good");
    let names: Vec<&[u8]> = head.named().map(|(_, name, _)| name).collect();
    assert_eq!(names, [&b"X-B"[..], b"x-a", b"X-B", b"hOsT"]);
    assert_eq!(head.only(Name::Host), Some(&b"a.b"[..]));
    assert_eq!(head.spelt(b"x-b").collect::<Vec<_>>(), [b"1", b"3"]);
}
