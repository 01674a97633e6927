//! Makes one script of the modules of the page and of the client library, so that a visit costs one
//! invocation for all of them and not one for each, and text that they share is compressed once.
//!
//! The modules stand one after another, in the order in which a browser would run them, without their
//! imports and comments. So a name at the top of a module is a name of the whole script: two modules
//! cannot declare the same one. These forms are supported, at the beginning of a line, and any other is
//! an error:
//!
//! ```js
//! import { a, b } from "./x.js";
//! export { a, b } from "./x.js";
//! export function a() {}    // async function, async function*, class, const; all of them without export, too, and let
//! ```

use std::collections::{BTreeMap, BTreeSet};

/// The prefixes of a declaration.
const DECLARATIONS: [&str; 6] = [
    "async function* ",
    "async function ",
    "function ",
    "class ",
    "const ",
    "let ",
];

/// Returns one script equal to the module `entry` with its imports. `read` returns the source of a module
/// by its name: a path with slashes.
///
/// # Errors
///
/// A module cannot be read, has an unsupported form of import or export, declares a name that
/// another one declares, or imports itself by way of others. The sentence names the module.
pub fn bundle(
    entry: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut bundle = Bundle {
        read,
        script: String::new(),
        done: BTreeSet::new(),
        open: Vec::new(),
        declared: BTreeMap::new(),
    };
    bundle.add(entry)?;
    Ok(bundle.script)
}

struct Bundle<'a> {
    read: &'a dyn Fn(&str) -> Result<String, String>,
    script: String,
    /// Modules that are in the script.
    done: BTreeSet<String>,
    /// Modules whose imports are being added, each one imported by the one before.
    open: Vec<String>,
    /// The names at the top of modules, each with its module.
    declared: BTreeMap<String, String>,
}

impl Bundle<'_> {
    fn add(&mut self, name: &str) -> Result<(), String> {
        if self.done.contains(name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(format!("{} -> {name} is a circle", self.open.join(" -> ")));
        }
        let source = (self.read)(name)?;
        let module = Module::parse(name, &without_comments(&source))?;
        self.open.push(name.to_owned());
        for import in &module.imports {
            self.add(import)?;
        }
        self.open.pop();
        for declared in module.declared {
            if let Some(other) = self.declared.insert(declared.clone(), name.to_owned()) {
                return Err(format!(
                    "{name}: `{declared}` is declared in {other} as well"
                ));
            }
        }
        self.done.insert(name.to_owned());
        self.script += &without_indentation(&module.body);
        Ok(())
    }
}

/// A parsed module.
#[derive(Default)]
struct Module {
    /// Names of the modules that it imports.
    imports: Vec<String>,
    /// The names that it declares at its top.
    declared: Vec<String>,
    /// Its text without imports.
    body: String,
}

impl Module {
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut module = Self::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.starts_with("import ") || line.starts_with("export {") {
                let mut statement = line.to_owned();
                while !statement.ends_with(';') {
                    statement += lines.next().ok_or_else(|| unsupported(name, line))?.trim();
                }
                let target = linked(&statement).ok_or_else(|| unsupported(name, &statement))?;
                module.imports.push(join(name, target));
                continue;
            }
            let statement = match line.strip_prefix("export ") {
                None => line,
                Some(declaration) if is_constant(declaration) => declaration,
                Some(_) => return Err(unsupported(name, line)),
            };
            module.declared.extend(declared(statement));
            module.body += statement;
            module.body.push('\n');
        }
        Ok(module)
    }
}

/// Returns the module that a statement imports from, unless it renames something.
fn linked(statement: &str) -> Option<&str> {
    let (names, target) = statement.strip_suffix("\";")?.split_once(" from \"")?;
    let names = names
        .strip_prefix("import {")
        .or(names.strip_prefix("export {"))?;
    let names = names.strip_suffix('}')?;
    (!names.contains(" as ")).then_some(target)
}

fn unsupported(name: &str, line: &str) -> String {
    format!("{name}: `{line}` is no form of import or export that the bundle of the page supports")
}

/// Returns whether a line declares something that keeps its value. A `let` does not, and an importer must see
/// its present value.
fn is_constant(line: &str) -> bool {
    !line.starts_with("let ") && !declared(line).is_empty()
}

/// Returns the names that a line declares, if any.
fn declared(line: &str) -> Vec<String> {
    let mut kinds = DECLARATIONS.iter();
    let Some(rest) = kinds.find_map(|kind| line.strip_prefix(kind)) else {
        return Vec::new();
    };
    let is_name = |letter: char| letter.is_alphanumeric() || "_$".contains(letter);
    // One name, or several that are taken out of a value: `{ a, b }`.
    let end = if rest.starts_with(['{', '[']) {
        rest.find(['}', ']'])
    } else {
        rest.find(|letter| !is_name(letter))
    };
    let names = rest[..end.unwrap_or(rest.len())].split(|letter| !is_name(letter));
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the name of the module `target`, relative to the module `name`.
fn join(name: &str, target: &str) -> String {
    let mut segments: Vec<&str> = name.split('/').collect();
    segments.pop();
    for segment in target.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            part => segments.push(part),
        }
    }
    segments.join("/")
}

/// Returns the text of a module or of a stylesheet without comments: blocks anywhere, and lines that begin
/// with `//`. So no string of a source may hold `/*`.
pub fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, block)) = rest.split_once("/*") {
        text += before;
        let after = block.split_once("*/").map_or("", |(_, after)| after);
        // There was one space between the comment and the text behind it.
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    text += rest;
    let lines = text.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the text without empty lines and without the spaces around lines.
pub fn without_indentation(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bundles `main.js` of these modules.
    fn bundled(modules: &[(&str, &str)]) -> Result<String, String> {
        let read = |name: &str| {
            let found = modules.iter().find(|(known, _)| *known == name);
            let source = found.map(|(_, source)| (*source).to_owned());
            source.ok_or_else(|| format!("there is no {name}"))
        };
        bundle("main.js", &read)
    }

    #[test]
    fn a_module_comes_once_and_after_those_that_it_imports() {
        let script = bundled(&[
            (
                "main.js",
                "import { a } from \"./a.js\";\nimport { b } from \"./lib/b.js\";\na(b);\n",
            ),
            (
                "a.js",
                "import { b } from \"./lib/b.js\";\nexport async function a() {\n  const c = b;\n  return c;\n}\n",
            ),
            (
                "lib/b.js",
                "import {\n  x,\n} from \"../x.js\";\nexport const b = 1;\nexport { x } from \"../x.js\";\nlet c;\n",
            ),
            ("x.js", "export class x {}\nexport async function* y() {}\n"),
        ]);
        let expected = "class x {}\nasync function* y() {}\nconst b = 1;\nlet c;\nasync function a() {\nconst c = b;\nreturn c;\n}\na(b);\n";
        assert_eq!(script.as_deref(), Ok(expected));
    }

    #[test]
    fn an_unsupported_form_is_an_error_with_its_place() {
        for statement in [
            "import a from \"./a.js\";",
            "import * as a from \"./a.js\";",
            "import \"./a.js\";",
            "import { a } from './a.js';",
            "import { a } from \"./a.js\"",
            "export default 1;",
            "export let a = 1;",
            "export { a };",
            "export * from \"./a.js\";",
            "import { a as b } from \"./a.js\";",
        ] {
            let failed = bundled(&[("main.js", statement), ("a.js", "export const a = 1;")]);
            let sentence = failed.expect_err(statement);
            assert!(sentence.starts_with("main.js: "), "{sentence}");
        }
        let circle = bundled(&[
            (
                "main.js",
                "import { a } from \"./a.js\";\nexport const b = 1;",
            ),
            (
                "a.js",
                "import { b } from \"./main.js\";\nexport const a = 1;",
            ),
        ]);
        assert_eq!(
            circle,
            Err("main.js -> a.js -> main.js is a circle".to_owned())
        );
        for twice in ["const a = 1;", "let { b, a } = c;", "function a() {}"] {
            let twice = format!("import {{ x }} from \"./a.js\";\n{twice}");
            let failed = bundled(&[("main.js", &twice), ("a.js", "export const a = 1;")]);
            let expected = "main.js: `a` is declared in a.js as well";
            assert_eq!(failed.as_deref(), Err(&expected.to_owned()));
        }
        let missing = bundled(&[("main.js", "import { a } from \"./a.js\";")]);
        assert_eq!(missing, Err("there is no a.js".to_owned()));
    }

    #[test]
    fn comments_and_indentation_go() {
        let source = "/**\n * What it does.\n */\nexport const a = \"http://b\"; // stays\n  // goes\n\
                      \x20 /** @type {number} */ c = 1;\nd = /** @type {X} */ (e);\n/* without an end";
        let expected = "export const a = \"http://b\"; // stays\nc = 1;\nd = (e);\n";
        assert_eq!(without_indentation(&without_comments(source)), expected);
    }
}
