//! The text of a template as a tree whose nodes know their lines.
//!
//! The short forms of intrinsic functions (`!Ref x`) become the long ones (`{"Ref": x}`), so that
//! there is one form to evaluate.

mod json;
mod load;
mod scalar;

use anyhow::{Context, Result};
use serde_json::Value;

/// Limit of nesting: the reader takes some stack for each level.
const MAX_DEPTH: usize = 64;

/// A node of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its content.
    pub content: Content,
}

/// The content of a node.
#[derive(Debug, Clone)]
pub enum Content {
    /// A string, number, boolean or null.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads `text`, a document of YAML or JSON.
    ///
    /// # Errors
    ///
    /// It is neither, is more than one document, or nested too deeply; the sentence gives the line.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_noting_doubled(text).map(|(node, _)| node)
    }

    /// Reads as [`parse`](Self::parse) does. Returns also the keys that are twice in a map, with their lines:
    /// the last one counts, as for SAM.
    ///
    /// # Errors
    ///
    /// As of [`parse`](Self::parse).
    pub fn parse_noting_doubled(text: &str) -> Result<(Self, Vec<(usize, String)>)> {
        let json = json::as_yaml(text);
        let text = json.as_deref().unwrap_or(text);
        let (root, doubled) = load::load(text, json.is_some())?;
        Ok((root.context("it is empty")?, doubled))
    }

    fn scalar(line: usize, value: Value) -> Self {
        let content = Content::Scalar(value);
        Self { line, content }
    }

    fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// Returns the same without lines, as JSON.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let entries = entries.iter();
                Value::Object(
                    entries
                        .map(|(key, it)| (key.clone(), it.to_json()))
                        .collect(),
                )
            }
        }
    }

    /// Whether this is an intrinsic function.
    pub fn is_function(&self) -> bool {
        matches!(self.entries(), [(name, _)] if name == "Ref" || name == "Condition" || name.starts_with("Fn::"))
    }

    /// Returns the value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find_map(|(name, node)| (name == key).then_some(node))
    }

    /// Returns the entries of a map; none for anything else.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn deeply_nested_templates_are_rejected_before_they_use_up_the_stack() {
        let fits = format!("{}x", "- ".repeat(MAX_DEPTH));
        assert!(Node::parse(&fits).is_ok());
        for text in [
            format!("- {fits}"),
            format!("{}x", "- ".repeat(100_000)),
            "[".repeat(100_000),
            format!("a: {}", "{a: ".repeat(100_000)),
            (0..1_000).map(|depth| " ".repeat(depth) + "a:\n").collect(),
        ] {
            assert!(Node::parse(&text).is_err(), "{}", &text[..10]);
        }
    }

    fn parse(text: &str) -> Value {
        Node::parse(text).expect(text).to_json()
    }

    #[test]
    fn a_key_is_the_text_of_its_scalar() {
        let keys = "{123456789012: a, on: b, 1.10: c, ~: d, 'on': e, 012345678901: f}";
        let expected = json!({
            "123456789012": "a", "true": "b", "1.1": "c", "null": "d", "on": "e", "012345678901": "f",
        });
        assert_eq!(parse(keys), expected);
        assert!(Node::parse("{[a]: b}").is_err());
    }

    #[test]
    fn the_argument_of_a_function_is_a_text() {
        assert_eq!(parse("!Ref 0777"), json!({"Ref": "0777"}));
        assert_eq!(parse("!Sub yes"), json!({"Fn::Sub": "yes"}));
        assert_eq!(parse("!GetAZs"), json!({"Fn::GetAZs": ""}));
        assert_eq!(parse("!Select [1, yes]"), json!({"Fn::Select": [1, true]}));
        assert_eq!(
            parse("!Ref\n  Fn::Sub: a"),
            json!({"Ref": {"Fn::Sub": "a"}})
        );
        assert_eq!(
            parse("[!!str 7, !!int '7', \"yes\", 'no', ! 7]"),
            json!(["7", 7, "yes", "no", "7"])
        );
    }

    #[test]
    fn merges_give_way_to_own_keys_and_to_earlier_merges() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {y: 5, <<: *a}\nd: {<<: [*a, *b], '<<': 6}\n\
                    e: [*a, *b]\nf: {<<: *a, <<: *b}";
        let all = parse(text);
        assert_eq!(all["c"], json!({"x": 1, "y": 5}));
        assert_eq!(all["d"], json!({"x": 1, "y": 2, "z": 4, "<<": 6}));
        assert_eq!(all["e"], json!([{"x": 1, "y": 2}, {"y": 3, "z": 4}]));
        assert_eq!(all["f"], json!({"x": 1, "y": 2, "z": 4}));
        assert!(Node::parse("{<<: 7}").is_err());
        assert!(Node::parse("&a {b: *a}").is_err());
    }

    #[test]
    fn the_last_of_two_equal_keys_counts_and_is_noted() {
        let (node, doubled) = Node::parse_noting_doubled("a: 1\nb: 2\na: 3\n").expect("YAML");
        assert_eq!(node.to_json(), json!({"b": 2, "a": 3}));
        assert_eq!(doubled, [(3, "a".to_owned())]);
    }

    #[test]
    fn a_second_document_is_an_error_with_its_line() {
        for text in [
            "a: 1\n",
            "---\na: 1\n",
            "a: 1\n...\n",
            "# c\n---\na: 1\n...\n# d\n",
        ] {
            assert_eq!(parse(text), json!({"a": 1}), "{text}");
        }
        let error = Node::parse("a: 1\n---\nb: 2\n").expect_err("two documents");
        let error = format!("{error:#}");
        assert!(error.starts_with("line 2: a second document"), "{error}");
    }

    #[test]
    fn a_tab_in_an_indent_is_an_error_with_its_line() {
        let error = Node::parse("a:\n\tb: 1\n").expect_err("a tab");
        let error = format!("{error:#}");
        assert_eq!(
            error,
            "line 2: it is indented with a tab: YAML takes spaces only"
        );
    }

    #[test]
    fn json_is_read_by_its_own_rules() {
        let text =
            "{\n\t\"yes\":\t\"\\ud83d\\ude80 \\\\ud83d\",\n \"n\": [1e3, 0.5, true, null, -7]}";
        let expected = json!({"yes": "\u{1f680} \\ud83d", "n": [1000.0, 0.5, true, null, -7]});
        assert_eq!(parse(text), expected);
        let node = Node::parse(text).expect("JSON");
        assert_eq!(node.get("n").expect("it is there").line, 3);
    }

    #[test]
    fn aliases_cannot_use_up_memory_or_stack() {
        let level = |level| {
            format!(
                "a{level}: &a{level} [{}]\n",
                format!("*a{},", level - 1).repeat(9)
            )
        };
        let wide: String = (1..9).map(level).collect();
        assert!(Node::parse(&format!("a0: &a0 x\n{wide}")).is_err());
        let level = |level| format!("a{level}: &a{level} [*a{}]\n", level - 1);
        let deep: String = (1..100).map(level).collect();
        assert!(Node::parse(&format!("a0: &a0 x\n{deep}")).is_err());
    }

    proptest! {
        #[test]
        fn every_json_map_is_read_as_itself(map in any_json(), is_pretty in any::<bool>()) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&map),
                false => serde_json::to_string(&map),
            };
            let text = escaped(&text.expect("it has text keys"));
            prop_assert_eq!(Node::parse(&text).expect("JSON").to_json(), map);
        }
    }

    /// Writes all that is not ASCII as `\u…`, as Python's `json.dumps` does.
    fn escaped(json: &str) -> String {
        let mut units = [0; 2];
        let mut escape = |letter: char| match letter.is_ascii() {
            true => letter.to_string(),
            false => {
                let units = letter.encode_utf16(&mut units).iter();
                units.map(|unit| format!("\\u{unit:04x}")).collect()
            }
        };
        json.chars().map(&mut escape).collect()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(text.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[a-z]{1,3}", value, 1..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }
}
