use super::*;

fn properties(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

fn says(expression: &str, pairs: &[(&str, &str)]) -> Result<Option<bool>, Undecided> {
    let compiled = Expression::compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    compiled.evaluate(&properties(pairs), &mut Scratch::default())
}

fn refused(expression: &str) -> SqlError {
    Expression::compile(expression).expect_err(expression)
}

#[test]
fn an_error_points_at_the_character() {
    let error = refused("a > 1 AND b = >");
    assert_eq!((error.position, error.near.as_str()), (15, ">"));
    assert!(error.to_string().contains("allowed here: a property, a number"), "{error}");
    assert_eq!(refused("a = 'x").position, 5);
    assert_eq!(refused("ü").position, 1);
    assert_eq!(refused("'ü' > 1").position, 1);
    assert_eq!(refused("a >").to_string().split(':').next(), Some("at character 4, the end"));
    assert!(refused("a IS 3").reason.contains("NULL or NOT NULL"));
    assert!(refused("a NOT 3").reason.contains("CONTAINS"));
    assert!(refused("a BETWEEN 5 AND 3").reason.contains("below"));
    assert!(refused("'a' IN ('b')").reason.contains("IN"));
    assert!(refused("a = 0.0").reason.contains("write 0"));
    assert!(refused("NOT a > 7").reason.contains("NOT ("));
    assert!(refused("a = NULL").reason.contains("IS NULL"));
}

#[test]
fn missing_properties_are_unknown() {
    assert_eq!(says("a > 3", &[]), Ok(None));
    assert_eq!(says("a = 1 OR n = 2", &[("n", "2")]), Ok(Some(true)));
    assert_eq!(says("a = 'x'", &[]), Ok(None));
    assert_eq!(says("'x' = a", &[]), Ok(Some(false)));
    assert_eq!(says("a = b", &[]), Ok(Some(true)));
    assert_eq!(says("a NOT CONTAINS 'x'", &[]), Ok(Some(false)));
    assert_eq!(says("a > 3", &[("a", "many")]), Err(Undecided));
    assert_eq!(says("a", &[("a", "true")]), Ok(Some(false)));
    assert_eq!(says("a = TRUE", &[("a", "True")]), Ok(Some(true)));
}

#[test]
fn of_two_properties_with_one_name_the_last_counts() {
    assert_eq!(says("a = '2'", &[("a", "1"), ("a", "2")]), Ok(Some(true)));
}

#[test]
fn no_expression_passes_the_bounds() {
    let deep = format!("{}a{} = 1", "(".repeat(DEPTH_MAX + 1), ")".repeat(DEPTH_MAX + 1));
    assert!(refused(&deep).reason.contains("deeper"));
    for prefix in ["NOT ", "- ", "+ "] {
        assert!(refused(&format!("{}a", prefix.repeat(1_000))).reason.contains("deeper"));
    }
    assert!(refused(&format!("a {}", "IS NULL ".repeat(500))).reason.contains("deeper"));
    assert!(refused(&format!("a=1{}", " OR a=1".repeat(1_500))).reason.contains("terms"));
    assert!(refused(&format!("a='{}'", "x".repeat(TEXT_BYTES_MAX))).reason.contains("bytes"));
    let long = format!("a IN ('x'{})", ",'y'".repeat(3_000));
    assert_eq!(says(&long, &[("a", "y")]), Ok(Some(true)));
}

#[test]
fn work_a_message_is_bounded() {
    let costly = format!("a CONTAINS 'y'{}", " OR a CONTAINS 'y'".repeat(600));
    assert_eq!(says(&costly, &[("a", &"x".repeat(30_000))]), Err(Undecided));
    assert_eq!(says(&costly, &[("a", &"x".repeat(300))]), Ok(Some(false)));
}

#[test]
fn the_form_that_names_a_custom_filter() {
    let call = |name: &str, expression: &str| Ok(Some(FilterCall { name: name.into(), expression: expression.into() }));
    assert_eq!(filter_call("FILTER('GEO', '52.5 13.4 10')"), call("GEO", "52.5 13.4 10"));
    assert_eq!(filter_call(" filter ( 'G''s' , 'it''s' ) "), call("G's", "it's"));
    assert_eq!(filter_call("FILTER('GEO')"), call("GEO", ""));
    assert_eq!(filter_call("FILTER = 'GEO'"), Ok(None));
    assert_eq!(filter_call("a > 1"), Ok(None));
    for wrong in
        ["FILTER(GEO, 'x')", "FILTER('GEO', x)", "FILTER('GEO', 'x'", "FILTER('GEO', 'x') AND a = 1", "FILTER()"]
    {
        assert!(filter_call(wrong).unwrap_err().reason.contains("FILTER('NAME'"), "{wrong}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text: String, properties: String) {
        if let Ok(compiled) = Expression::compile(&text) {
            let _ = compiled.matches(&properties, &mut Scratch::default());
        }
        let _ = filter_call(&text);
    }

    #[test]
    fn any_words_are_compiled_or_refused(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..20)) {
        let text = words.join(" ");
        if let Ok(compiled) = Expression::compile(&text) {
            let _ = compiled.matches("a\u{1}1\u{2}b\u{1}x\u{2}", &mut Scratch::default());
        }
    }
}

const WORDS: [&str; 24] = [
    "a", "b", "c", "1", "2.5", "'x'", "''", "TRUE", "NULL", "NOT", "AND", "OR", "=", "<>", ">", "<=", "BETWEEN", "IN",
    "(", ")", ",", "IS", "CONTAINS", "-",
];

/// A text of the vectors, with its escapes undone.
fn unescaped(text: &str) -> String {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        units.push(u16::from_str_radix(&rest[at + 2..at + 6], 16).unwrap());
        rest = &rest[at + 6..];
    }
    units.extend(rest.encode_utf16());
    String::from_utf16(&units).unwrap()
}

#[test]
fn expressions_mean_what_they_mean_to_rocketmq() {
    let text = include_str!("../../../tests/vectors/sql.txt");
    let (mut sets, mut wrong, mut compiled, mut refused, mut answers) = (Vec::new(), Vec::new(), 0, 0, 0);
    let mut scratch = Scratch::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.split('\t');
        let (kind, first) = (parts.next().unwrap(), unescaped(parts.next().unwrap()));
        if kind == "P" {
            sets.push(first);
            continue;
        }
        let said = parts.next().unwrap();
        let ours = Expression::compile(&first);
        if ours.is_err() || said == "X" {
            refused += 1;
            if ours.is_ok() || said != "X" {
                wrong.push(format!("{first:?}: theirs {said}, ours {ours:?}"));
            }
            continue;
        }
        let expression = ours.unwrap();
        compiled += 1;
        for answer in said.split(' ') {
            answers += 1;
            let (set, theirs) = answer.split_at(answer.len() - 1);
            let properties = &sets[set.parse::<usize>().unwrap()];
            let found = match expression.evaluate(properties, &mut scratch) {
                Ok(Some(true)) => "T",
                Ok(Some(false)) => "F",
                Ok(None) => "N",
                Err(Undecided) => "E",
            };
            if found != theirs {
                wrong.push(format!("{first:?} of {properties:?}: theirs {theirs}, ours {found}"));
            }
        }
    }
    assert!(compiled > 3_500 && refused > 2_000 && answers > 40_000, "{compiled} {refused} {answers}");
    assert!(wrong.is_empty(), "{} differ, the first:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
