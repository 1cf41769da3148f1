use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn typed(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    headers
}

fn json(pointer: &str) -> BodyField {
    BodyField::Json(pointer.parse().unwrap())
}

fn form(name: &str) -> BodyField {
    BodyField::Form(name.into())
}

fn read_one(content_type: &str, body: &[u8], field: BodyField) -> Found {
    BodyFields::read(&typed(content_type), body, BodyEnd::Reached, &[field]).found(0).clone()
}

fn text(value: &str) -> Found {
    Found::Text(value.into())
}

#[test]
fn a_member_is_found_by_its_place() {
    let body =
        br#" {"user": {"email": "ann@shop.example", "id": 42}, "tags": ["a", {"b": "c"}], "a/b": "slash", "":"none"} "#;
    for (pointer, found) in [
        ("/user/email", text("ann@shop.example")),
        ("/user/id", text("42")),
        ("/user", Found::NoText),
        ("/tags", Found::NoText),
        ("/tags/0", text("a")),
        ("/tags/1/b", text("c")),
        ("/tags/01", Found::Absent),
        ("/tags/2", Found::Absent),
        ("/a~1b", text("slash")),
        ("/", text("none")),
        ("/email", Found::Absent),
        ("/user/email/x", Found::Absent),
    ] {
        assert_eq!(read_one(JSON, body, json(pointer)), found, "{pointer}");
    }
}

#[test]
fn several_members_are_found_in_one_pass() {
    let wanted = [json("/a"), json("/b/c"), form("a"), json("/b")];
    let found = BodyFields::read(&typed(JSON), br#"{"b":{"c":"2"},"a":"1"}"#, BodyEnd::Reached, &wanted);
    let found: Vec<_> = found.iter().cloned().collect();
    assert_eq!(found, [text("1"), text("2"), Found::Absent, Found::NoText]);
}

#[test]
fn what_parsers_read_differently_is_no_value() {
    for (body, found) in [
        (r#"{"email":"a","email":"b"}"#, Found::Ambiguous),
        (r#"{"email":"a","email":"a"}"#, Found::Ambiguous),
        (r#"{"email":"a","EMAIL":"b"}"#, Found::Ambiguous),
        (r#"{"EMAIL":"b","email":"a"}"#, Found::Ambiguous),
        (r#"{"email":"a","\u0065mail":"b"}"#, Found::Ambiguous),
        (r#"{"\u0065mail":"a"}"#, text("a")),
        (r#"{"EMAIL":"b"}"#, Found::Absent),
        (r#"{"email":["a"]}"#, Found::NoText),
        (r#"{"email":{"$ne":""}}"#, Found::NoText),
        (r#"{"email":null}"#, Found::NoText),
        (r#"{"email":true}"#, Found::NoText),
        (r#"{"email":7}"#, text("7")),
        (r#"{"email":7.0}"#, Found::NoText),
        (r#"{"email":-7}"#, Found::NoText),
        (r#"{"email":7e1}"#, Found::NoText),
        (r#"{"email":"a\u0000b"}"#, Found::NoText),
        (r#"{"email":"a\ud800"}"#, Found::NoText),
        (r#"{"email":"a\udc00\ud800"}"#, Found::NoText),
        (r#"{"email":"\ud83d\ude00"}"#, text("😀")),
        (r#"{"email":"a\tb\/"}"#, text("a\tb/")),
        (r#"{"x":{"email":"b"},"email":"a"}"#, text("a")),
        (r#"[{"email":"a"}]"#, Found::Absent),
        (r#""email""#, Found::Absent),
        ("", Found::Unreadable),
        ("{", Found::Unreadable),
        (r#"{"email":"a"}{"#, Found::Unreadable),
        (r#"{"email":"a",}"#, Found::Unreadable),
        (r#"{"email":"a" "b":1}"#, Found::Unreadable),
        (r#"{email:"a"}"#, Found::Unreadable),
        (r#"{'email':'a'}"#, Found::Unreadable),
        (r#"{"email":"a"} // b"#, Found::Unreadable),
        (r#"{"email":NaN}"#, Found::Unreadable),
        (r#"{"email":01}"#, Found::Unreadable),
        (r#"{"email":"\x41"}"#, Found::Unreadable),
        (r#"{"email":"a"]"#, Found::Unreadable),
        ("{\"email\":\"a\nb\"}", Found::Unreadable),
        ("{\"email\":\"a\0b\"}", Found::Unreadable),
        ("\u{feff}{\"email\":\"a\"}", Found::Unreadable),
    ] {
        assert_eq!(read_one(JSON, body.as_bytes(), json("/email")), found, "{body}");
    }
    assert_eq!(read_one(JSON, b"{\"email\":\"\xff\"}", json("/email")), Found::Unreadable);
    assert_eq!(read_one(JSON, "{\"kſ\":\"a\",\"ks\":\"b\"}".as_bytes(), json("/ks")), Found::Ambiguous);
}

#[test]
fn a_name_that_stands_twice_on_the_way_makes_what_is_below_ambiguous() {
    let body = br#"{"user":{"id":"a"},"user":{"id":"b"}}"#;
    assert_eq!(read_one(JSON, body, json("/user/id")), Found::Ambiguous);
    let body = br#"{"user":{"id":"a"},"other":{"id":"b"},"list":[{"id":1},{"id":2}]}"#;
    assert_eq!(read_one(JSON, body, json("/user/id")), text("a"));
}

#[test]
fn nesting_ends_at_its_bound() {
    let nested = |depth: usize| {
        let mut body = br#"{"email":"a","x":"#.to_vec();
        body.extend(std::iter::repeat_n(b'[', depth));
        body.extend(std::iter::repeat_n(b']', depth));
        body.push(b'}');
        body
    };
    for (depth, found) in [
        (1, text("a")),
        (MAX_DEPTH - 1, text("a")),
        (MAX_DEPTH, Found::Unreadable),
        (10_000, Found::Unreadable),
        (1_000_000, Found::Unreadable),
    ] {
        assert_eq!(read_one(JSON, &nested(depth), json("/email")), found, "{depth}");
    }
}

#[test]
fn a_body_that_goes_on_has_no_field() {
    for (content_type, body, field) in
        [(JSON, &br#"{"email":"a"}"#[..], json("/email")), (FORM, &b"email=a"[..], form("email"))]
    {
        let read = |end| BodyFields::read(&typed(content_type), body, end, std::slice::from_ref(&field));
        assert_eq!(read(BodyEnd::Reached).found(0), &text("a"));
        assert_eq!(read(BodyEnd::Cut).found(0), &Found::Unreadable);
        assert_eq!(read(BodyEnd::Reached).found(1), &Found::Absent);
    }
}

#[test]
fn a_field_of_a_form_is_found_by_its_name() {
    for (body, found) in [
        ("email=a%40shop.example&x=1", text("a@shop.example")),
        ("x=1&email=a+b", text("a b")),
        ("%65mail=a", text("a")),
        ("email", text("")),
        ("&&email=a&", text("a")),
        ("email=a=b", text("a=b")),
        ("mail=a&emails=b&xemail=c", Found::Absent),
        ("email=a&email=b", Found::Ambiguous),
        ("email=a&email", Found::Ambiguous),
        ("email=a&Email=b", Found::Ambiguous),
        ("email=a&%65mail=b", Found::Ambiguous),
        ("email=a&email[]=b", Found::Ambiguous),
        ("email[]=b", Found::Ambiguous),
        ("email[x]=b&email=a", Found::Ambiguous),
        ("email=a&+email=b", Found::Ambiguous),
        ("email=a;email=b", Found::Unreadable),
        ("email=a%3Bb", text("a;b")),
        ("email=a&%zz=b", Found::Unreadable),
        ("email=%zz", Found::NoText),
        ("email=%ff", Found::NoText),
        ("email=a%00b", Found::NoText),
        ("email%00x=b", Found::Unreadable),
        ("email=a\0", Found::Unreadable),
        ("", Found::Absent),
    ] {
        assert_eq!(read_one(FORM, body.as_bytes(), form("email")), found, "{body}");
    }
    assert_eq!(read_one(FORM, b"user.name=a&user_name=b", form("user_name")), Found::Ambiguous);
    assert_eq!(read_one(FORM, b"user[id]=a", form("user[id]")), text("a"));
}

#[test]
fn a_body_is_read_as_the_one_type_that_it_says() {
    let body = br#"{"email":"a"}"#;
    for (content_type, found) in [
        (JSON, text("a")),
        ("Application/JSON; charset=UTF-8", text("a")),
        ("application/json; charset=\"utf-8\"; x=y", text("a")),
        ("application/vnd.shop+json", text("a")),
        ("text/json", text("a")),
        ("application/json; charset=utf-16", Found::Absent),
        ("text/plain", Found::Absent),
        ("application/jsonp", Found::Absent),
        (FORM, Found::Absent),
        ("", Found::Absent),
    ] {
        assert_eq!(read_one(content_type, body, json("/email")), found, "{content_type}");
    }
    let mut twice = typed(JSON);
    twice.append(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    let mut packed = typed(JSON);
    packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    for headers in [twice, packed, HeaderMap::new()] {
        let read = BodyFields::read(&headers, body, BodyEnd::Reached, &[json("/email")]);
        assert_eq!(read.found(0), &Found::Absent, "{headers:?}");
    }
}

#[test]
fn of_an_answer_of_the_origin_what_stands_before_the_end_counts() {
    let pointer = "/ok".parse().unwrap();
    for (body, value) in [
        (r#"{"ok":false,"x":[1,2"#, Some(JsonValue::Bool(false))),
        (r#"{"ok":false,"ok":true}"#, Some(JsonValue::Bool(true))),
        (r#"{"x":1,"ok":fal"#, None),
        (r#"{"ok":{}}"#, Some(JsonValue::Nested)),
        ("<html>", None),
        ("", None),
    ] {
        assert_eq!(json_members(body.as_bytes(), [&pointer].into_iter()).to_vec(), [value], "{body}");
    }
}

#[test]
fn a_query_is_read_as_a_form_is() {
    for (query, found) in [
        ("key=a%20b", text("a b")),
        ("%6bey=a", text("a")),
        ("key=a&key=b", Found::Ambiguous),
        ("keys=a", Found::Absent),
        ("key=a;key=b", Found::Unreadable),
    ] {
        assert_eq!(query_field(query, "key"), found, "{query}");
    }
}

#[test]
fn a_pointer_is_read_and_printed_alike() {
    for text in ["/", "/a", "/a/b", "/a~1b/~0", "/0"] {
        assert_eq!(text.parse::<JsonPointer>().unwrap().to_string(), text);
    }
    for (text, fault) in
        [("", NoPointer::NoSlash), ("a", NoPointer::NoSlash), ("/a~2", NoPointer::Tilde), ("/~", NoPointer::Tilde)]
    {
        assert_eq!(text.parse::<JsonPointer>(), Err(fault), "{text}");
    }
    assert_eq!("/a".repeat(MAX_DEPTH + 1).parse::<JsonPointer>(), Err(NoPointer::TooDeep));
}

#[test]
fn no_beginning_of_a_text_is_a_whole_one() {
    let body = r#"{"a":[1,-2.5e3,true,false,null,"x\u00e9\ud83d\ude00é"],"email":"a","o":{}}"#.as_bytes();
    for len in 0..body.len() {
        assert_eq!(json::scan(&body[..len], &[None]).end, json::ScanEnd::Cut, "{len}");
    }
    assert_eq!(json::scan(body, &[None]).end, json::ScanEnd::Whole);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-c\"\\\\/ é\n]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map("[a-c~/]{0,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_any_body(&bytes);
    }

    #[test]
    fn arbitrary_json_marks_are_judged_as_another_parser_judges_them(text in r#"[\[\]{}",:0-9a\\ .eE+-]{0,12}"#) {
        let ours = json::scan(text.as_bytes(), &[None]).end == json::ScanEnd::Whole;
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // The other one refuses numbers that no float holds.
        let too_large = theirs.as_ref().is_err_and(|fault| fault.to_string().starts_with("number out of range"));
        prop_assert!(ours == theirs.is_ok() || too_large, "{text}");
    }

    #[test]
    fn what_is_found_is_what_another_parser_finds(value in any_json(), pointer in "(/[a-c0-2]{0,2}){1,3}") {
        let body = value.to_string();
        let scan = json::scan(body.as_bytes(), &[Some(&pointer.parse().unwrap())]);
        prop_assert_eq!(scan.end, json::ScanEnd::Whole);
        let ours = match &scan.members().next().unwrap() {
            json::Member::Value(JsonValue::Text(text)) => Some(serde_json::Value::from(&**text)),
            json::Member::Value(JsonValue::Number(number)) => serde_json::from_str(number).ok(),
            json::Member::Value(JsonValue::Bool(value)) => Some((*value).into()),
            json::Member::Value(JsonValue::Null) => Some(serde_json::Value::Null),
            json::Member::Value(JsonValue::Nested) => {
                prop_assert!(value.pointer(&pointer).is_some_and(|found| found.is_array() || found.is_object()));
                return Ok(());
            }
            json::Member::Absent => None,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(ours.as_ref(), value.pointer(&pointer));
    }

    #[test]
    fn a_second_field_is_always_noticed(
        before in "[a-z]{0,3}=[a-z0-9]{0,3}", one in "[a-z]{1,4}", other in "[a-z]{1,4}", upper in any::<bool>(),
    ) {
        let name = if upper { "EMAIL" } else { "email" };
        let body = format!("{before}&email={one}&{name}={other}");
        prop_assert_eq!(read_one(FORM, body.as_bytes(), form("email")), Found::Ambiguous);
        let body = format!(r#"{{"x":"{before}","email":"{one}","{name}":"{other}"}}"#);
        prop_assert_eq!(read_one(JSON, body.as_bytes(), json("/email")), Found::Ambiguous);
    }
}
