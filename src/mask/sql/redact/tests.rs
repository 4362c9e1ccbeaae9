use proptest::prelude::*;

use super::*;

fn check(text: &str, expect: &str) {
    let redacted = command_text(text.as_bytes());
    assert_eq!(String::from_utf8_lossy(&redacted), expect, "of {text}");
    assert!(may_hold_credential(text.as_bytes()) || text == expect);
    let again = command_text(expect.as_bytes());
    assert_eq!(String::from_utf8_lossy(&again), expect, "is not stable");
}

#[test]
fn roles() {
    check("ALTER ROLE bob PASSWORD 'x'", "ALTER ROLE bob PASSWORD '***'");
    check(
        "create user bob with login encrypted password E'a\\'b' valid until '2030-01-01'",
        "create user bob with login encrypted password E'***' valid until '2030-01-01'",
    );
    check(
        "ALTER USER bob PASSWORD $a$x$a$;SELECT 'y'",
        "ALTER USER bob PASSWORD $a$***$a$;SELECT 'y'",
    );
    check("ALTER USER b PASSWORD 'x'\n -- c\n 'y' LOGIN", "ALTER USER b PASSWORD '***' LOGIN");
    check("ALTER ROLE bob PASSWORD NULL", "ALTER ROLE bob PASSWORD NULL");
    check("ALTER ROLE b PASSWORD /* c */ U&'x'", "ALTER ROLE b PASSWORD /* c */ U&'***'");
    check("CREATE USER b IDENTIFIED BY 'x'", "CREATE USER b IDENTIFIED BY '***'");
}

#[test]
fn foreign_servers_and_subscriptions() {
    check(
        "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password 'p')",
        "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password '***')",
    );
    check(
        "ALTER SERVER s OPTIONS (SET host 'h', ADD mykey 'k')",
        "ALTER SERVER s OPTIONS (SET host 'h', ADD mykey '***')",
    );
    check(
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=p user=u' PUBLICATION q",
        "CREATE SUBSCRIPTION s CONNECTION '***' PUBLICATION q",
    );
    check("SELECT dblink_connect('postgres://u:p@h/d')", "SELECT dblink_connect('***')");
    check(
        "ALTER SYSTEM SET primary_conninfo = 'password=''a b'' host=h'",
        "ALTER SYSTEM SET primary_conninfo = '***'",
    );
}

#[test]
fn comparisons_from_either_side() {
    check("SELECT 1 FROM u WHERE 'x' = password", "SELECT 1 FROM u WHERE '***' = password");
    check("SELECT 1 FROM u WHERE E'x'<>u.pass", "SELECT 1 FROM u WHERE E'***'<>u.pass");
    check(
        "SELECT 1 FROM u WHERE a = 'y' AND 'x' >= s.u.api_key OR b = 'z'",
        "SELECT 1 FROM u WHERE a = 'y' AND '***' >= s.u.api_key OR b = 'z'",
    );
    check(
        "SELECT 1 FROM u WHERE password NOT BETWEEN 'x' AND 'y' AND a = 'z'",
        "SELECT 1 FROM u WHERE password NOT BETWEEN '***' AND '***' AND a = 'z'",
    );
    check(
        "SELECT 1 FROM u WHERE token BETWEEN SYMMETRIC 'x' AND 'y'",
        "SELECT 1 FROM u WHERE token BETWEEN SYMMETRIC '***' AND '***'",
    );
    check("SELECT 'x', password FROM u", "SELECT 'x', password FROM u");
    check("SELECT 'x' AS password", "SELECT 'x' AS password");
    assert_eq!(command(b"SELECT 1 FROM u WHERE $2 = password").parameters, [2]);
}

#[test]
fn arguments_of_what_takes_a_credential() {
    check(
        "PREPARE p AS UPDATE u SET password = $1; EXECUTE p('x'); SELECT 'y'",
        "PREPARE p AS UPDATE u SET password = $1; EXECUTE p('***'); SELECT 'y'",
    );
    check(
        "PREPARE p AS UPDATE u SET name = $1 WHERE a = 'token'; EXECUTE p('x')",
        "PREPARE p AS UPDATE u SET name = $1 WHERE a = 'token'; EXECUTE p('x')",
    );
    let hidden = execution(b"EXPLAIN ANALYZE EXECUTE p('x', 5, $$y$$)");
    assert_eq!(&*hidden.text, b"EXPLAIN ANALYZE EXECUTE p('***', 5, $$***$$)");
}

#[test]
fn settings() {
    check("SET my.password = hunter2", "SET my.password = '***'");
    check("SET my.password TO 'a', 'b'", "SET my.password TO '***', '***'");
    check("SET my.password TO DEFAULT", "SET my.password TO DEFAULT");
    check("SELECT set_config('my.token', 'x', true)", "SELECT set_config('my.token', '***', true)");
    check("SELECT set_config('my.name', 'x', true)", "SELECT set_config('my.name', 'x', true)");
    check("SET password_encryption = 'md5'", "SET password_encryption = 'md5'");
}

#[test]
fn functions_with_keys() {
    check(
        "SELECT pgp_sym_encrypt(a, 'k'), name FROM t WHERE x = 'y'",
        "SELECT pgp_sym_encrypt(a, '***'), name FROM t WHERE x = 'y'",
    );
    check(
        "SELECT aws_commons.create_aws_credentials('a', 'b', '')",
        "SELECT aws_commons.create_aws_credentials('***', '***', '***')",
    );
    check(
        "UPDATE t SET h = crypt('pw', gen_salt('bf'))",
        "UPDATE t SET h = crypt('***', gen_salt('bf'))",
    );
}

#[test]
fn columns() {
    check(
        "UPDATE users SET password = 'x', name = 'y' WHERE id = 1",
        "UPDATE users SET password = '***', name = 'y' WHERE id = 1",
    );
    check(
        "SELECT 1 FROM u WHERE api_key IN ('a', 'b')",
        "SELECT 1 FROM u WHERE api_key IN ('***', '***')",
    );
    check(
        "INSERT INTO users (name, \"Password\", n) VALUES ('a', 'p', 1), ('b', md5('q'), 2)",
        "INSERT INTO users (name, \"Password\", n) VALUES ('a', '***', 1), ('b', md5('***'), 2)",
    );
    check(
        "UPDATE u SET (name, secret) = ('a', 's') WHERE id = 3",
        "UPDATE u SET (name, secret) = ('a', '***') WHERE id = 3",
    );
    check(
        "INSERT INTO u (id, token) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET token = 'y'",
        "INSERT INTO u (id, token) VALUES (1, '***') ON CONFLICT (id) DO UPDATE SET token = '***'",
    );
    check(
        "UPDATE u SET (a, token) = ROW ('x', md5('y')), (b, pwd) = ('z', 'w')",
        "UPDATE u SET (a, token) = ROW ('x', md5('***')), (b, pwd) = ('z', '***')",
    );
    check(
        "INSERT INTO u (token) SELECT 'x' || y FROM z",
        "INSERT INTO u (token) SELECT '***' || y FROM z",
    );
}

#[test]
fn parameters_stay_in_the_text_and_are_named() {
    let check = |text: &str, expect: &[u16]| {
        let redacted = command(text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&redacted.text), text);
        assert_eq!(redacted.parameters, expect, "of {text}");
    };
    check("INSERT INTO u (name, password) VALUES ($1, $2), ($3, md5($4))", &[2, 4]);
    check("UPDATE u SET password = $12, name = $1 WHERE id = $2", &[12]);
    check("SELECT 1 FROM u WHERE name = $1 AND api_key = ANY ($2)", &[2]);
    check("INSERT INTO u (token) SELECT $1 FROM z WHERE a = $2", &[1]);
    check("SELECT crypt($1, $2), $3", &[1, 2]);
    check("SELECT set_config('my.name', $1, true)", &[]);
    check("SELECT dblink_connect($1, $2), $3", &[1, 2]);
    check("SELECT $1, password FROM u", &[]);
    check("UPDATE u SET password = $99999999", &[]);
    check("DO $$ BEGIN UPDATE u SET password = $1; END $$", &[]);
    let redacted = command(b"UPDATE u SET password = 'x' || $1");
    assert_eq!(&*redacted.text, b"UPDATE u SET password = '***' || $1");
    assert_eq!(redacted.parameters, [1]);
}

#[test]
fn passwords_in_double_quotes() {
    check("ALTER ROLE bob PASSWORD \"x y\"", "ALTER ROLE bob PASSWORD \"***\"");
    check(
        "CREATE USER \"b\" PASSWORD \"x\" IN ROLE \"r\"",
        "CREATE USER \"b\" PASSWORD \"***\" IN ROLE \"r\"",
    );
    check("ALTER ROLE bob PASSWORD \"never ends", "ALTER ROLE bob PASSWORD \"***");
    check("SELECT password \"Pwd\" FROM u", "SELECT password \"Pwd\" FROM u");
    check("CREATE TABLE u (password \"char\")", "CREATE TABLE u (password \"char\")");
}

/// What runs has to be seen by who approves it, so code is shown with the passwords in it.
#[test]
fn code_and_comments_are_shown_as_they_are() {
    for text in [
        "DO $$ BEGIN EXECUTE 'ALTER ROLE b PASSWORD ''x'''; END $$",
        "DO 'begin perform ''password ''; update o set s = ''x'' where id=80; perform ''x''; end'",
        "create function f() returns int language sql as 'delete from o where password = ''x'''",
        "select query_to_xml('select ''password '', danger(84), ''x''', true, true, '')",
        "SELECT dblink_exec('c', 'alter role b password ''x''')",
        "COPY t FROM PROGRAM 'PGPASSWORD=x curl -H \"Authorization: Basic abc\" h'",
        "update orders set status='pwned' where id=67 /* password=*//**/or/**/id=68",
        "update orders set status='pwned' where id=73 /* password ' */or id=74/*'*/",
        "/* password ' */ update orders set status='pwned' where id=75 /* ' */",
        "/* password= */ delete from orders where id=-1",
        "/* token: */ delete from orders where id=-1",
        "/* -----BEGIN PRIVATE KEY----- */ delete from orders where id=-1",
        "SELECT 1 -- password: hunter2 here",
        "SELECT 1 /* ghp_a8Kd0Zq1Lr7Xw3Vb9Nt5Ym2Cs6Hf4Gj8Pe1R */",
        "select 'p' as password, 'hidden'",
        "update o set s = x.password from (select 'p'::text as password, 'hidden' v) x",
        "select password 'a cast'",
        "ALTER TABLE t RENAME password TO other",
        "ALTER SYSTEM SET ssl_passphrase_command = 'rm -rf /'",
        "COMMENT ON COLUMN u.password IS 'what it is'",
        "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (program 'rm')",
        "insert into u (token) values (danger('x'))",
        "insert into u (token) select danger('x') from z where n = 'y'",
        "select 'http://u:p@h; drop table orders'",
        "SELECT '{\"password\": \"x y\", \"a\": 1}'::jsonb",
    ] {
        check(text, text);
    }
}

#[test]
fn proven_secrets() {
    check("SELECT 'AKIAIOSFODNN7EXAMPLE'", "SELECT '***'");
    check("SELECT f('http://u:p@h/x'), 'y'", "SELECT f('***'), 'y'");
}

#[test]
fn what_does_not_parse_is_redacted_all_the_same() {
    check("ALTER ROL bob PASWORD PASSWORD 'x' )(", "ALTER ROL bob PASWORD PASSWORD '***' )(");
    check("ALTER ROLE bob PASSWORD 'never ends", "ALTER ROLE bob PASSWORD '***");
    check("ALTER ROLE bob PASSWORD 'it's'", "ALTER ROLE bob PASSWORD '***'s'***");
    check("SELECT 'password is x", "SELECT '***");
}

#[test]
fn what_holds_no_credential_is_borrowed() {
    for text in [
        "SELECT * FROM orders WHERE name = 'bob'",
        "SELECT password FROM users WHERE id = 'x'",
        "INSERT INTO t (a, b) VALUES ('passenger', 'x')",
        "SELECT token_count FROM t WHERE a = 'b'",
        "",
    ] {
        assert!(matches!(command_text(text.as_bytes()), Cow::Borrowed(_)), "{text}");
    }
}

/// Quadratic work on any of these would take minutes.
#[test]
fn long_texts_end() {
    for piece in [
        "(",
        "((password)=(",
        "(password) values (",
        "crypt(",
        "options(",
        "$a",
        "$$",
        "/*",
        "'",
        "E'",
        "password=",
        "password ",
        "'password",
        "\"password\":",
        "set_config('token',",
        "(secret,",
        "do $a$ ",
        "insert into t (secret) select ",
        "://a:",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        let text = piece.repeat(100_000);
        let _ = command_text(text.as_bytes());
    }
    let names = "secret,".repeat(50_000);
    let values = "'x',".repeat(50_000);
    let text = format!("insert into t ({names}a) values ({values}'y')");
    assert!(memchr::memmem::find(&command_text(text.as_bytes()), b"'x'").is_none());
}

/// Kinds of all tokens but comments, and whether they are closed.
fn kinds(text: &[u8]) -> Vec<(Kind, bool)> {
    lexer::code(text).0.iter().map(|token| (token.kind, token.closed)).collect()
}

/// What is hidden is a whole literal; the rest is as it was, byte by byte.
fn check_tokens(text: &[u8]) {
    let redacted = command_text(text);
    let (was, is) = (lexer::code(text).0, lexer::code(&redacted).0);
    assert_eq!(was.len(), is.len(), "of {}", String::from_utf8_lossy(text));
    let (mut from_was, mut from_is) = (0, 0);
    for (was, is) in was.iter().zip(&is) {
        let gap = |text: &[u8], from: usize, to: usize| text[from..to].to_vec();
        assert_eq!(gap(text, from_was, was.start()), gap(&redacted, from_is, is.start()));
        (from_was, from_is) = (was.end(), is.end());
        let (before, after) = (&text[was.start()..was.end()], &redacted[is.start()..is.end()]);
        if before == after {
            continue;
        }
        let bare = matches!(was.kind, Kind::Word | Kind::Number);
        if bare {
            assert_eq!(after, b"'***'");
            continue;
        }
        assert_eq!((was.kind, was.closed), (is.kind, is.closed));
        let (start, end) = is.content(&redacted);
        assert_eq!(&redacted[start..end], b"***");
        assert!(matches!(was.kind, Kind::Text | Kind::Dollar | Kind::QuotedName));
    }
    assert_eq!(text[from_was..], redacted[from_is..]);
    assert_eq!(kinds(&redacted), kinds(&command_text(&redacted)), "is not stable");
}

proptest! {
    #[test]
    fn only_whole_literals_change(text in prop::collection::vec(prop::sample::select(vec![
        "password", " ", "'", "''", "$$", "$a$", "(", ")", ",", "=", "x", "E'", "\\", "\"", "--",
        "/*", "*/", "\n", ";", "insert into t (password) values", "options", "://a:b@c", "set ",
        "alter role r password ", "create user mapping options(", "u&", "&", "1", "crypt(", "::",
        "||", "select ", " to ", " in ", "update t set token=", "'a'", "$b$x$b$", "N'y'", "X'1'",
        "set a.token=", "dblink_connect(", "alter subscription s connection ", "[", "]", "$1",
        "AKIAIOSFODNN7EXAMPLE", "'AKIAIOSFODNN7EXAMPLE'", "do ", "as ", "identified by ",
    ]), 0..40)) {
        check_tokens(text.concat().as_bytes());
    }

    #[test]
    fn any_text_is_fine(text in prop::collection::vec(prop::sample::select(vec![
        "password", " ", "'", "''", "$$", "$a$", "(", ")", ",", "=", "x", "E'", "\\", "\"", "--",
        "/*", "*/", "\n", ";", "insert into t (password) values", "options", "://a:b@c", "set",
    ]), 0..40)) {
        let text = text.concat();
        let redacted = command_text(text.as_bytes());
        if !may_hold_credential(text.as_bytes()) {
            prop_assert_eq!(redacted.as_ref(), text.as_bytes());
        }
    }

    /// Wherever the text is cut, the password is not in what is left.
    #[test]
    fn no_cut_shows_the_password(cut in 0_usize..90) {
        let text = "CREATE ROLE a LOGIN; \
                    ALTER ROLE bob WITH PASSWORD 'hunter2!hunter2' VALID UNTIL 'x'";
        let text = &text[..cut.min(text.len())];
        let redacted = command_text(text.as_bytes());
        prop_assert!(memchr::memmem::find(&redacted, b"hun").is_none());
    }
}
