//! Conditions, and the functions that are true or false.

use anyhow::{Context, Result, bail};

use super::{Node, Scope, is_unknown_error, list};

impl Scope<'_> {
    /// Whether the condition `name` holds.
    ///
    /// # Errors
    ///
    /// There is no such condition, or it is malformed.
    pub fn condition(&self, name: &str) -> Result<bool> {
        let condition = self
            .root
            .get("Conditions")
            .and_then(|conditions| conditions.get(name))
            .with_context(|| format!("there is no condition {name}"))?;
        self.deeper(|| self.truth(condition))
    }

    /// Whether the `Condition` of a resource holds; `None` if that is not known here.
    ///
    /// # Errors
    ///
    /// It is malformed.
    pub fn holds(&self, condition: Option<&Node>) -> Result<Option<bool>> {
        let Some(condition) = condition else {
            return Ok(Some(true));
        };
        let name = self.argument(condition)?;
        match self.condition(&name) {
            Err(error) if is_unknown_error(&error) => Ok(None),
            holds => holds.map(Some),
        }
    }

    /// Whether the condition in a node holds.
    ///
    /// # Errors
    ///
    /// It is no condition; the sentence gives the line.
    pub fn truth(&self, node: &Node) -> Result<bool> {
        if let [(name, argument)] = node.entries() {
            match name.as_str() {
                "Condition" => return self.condition(&self.argument(argument)?),
                name if name.starts_with("Fn::") => return self.test(name, argument),
                _ => {}
            }
        }
        bail!("line {}: this is not a condition", node.line)
    }

    pub(super) fn test(&self, name: &str, argument: &Node) -> Result<bool> {
        let parts = list(argument)?;
        let truths = || parts.iter().map(|part| self.truth(part));
        match (name, parts) {
            ("Fn::Equals", [a, b]) => Ok(self.argument(a)? == self.argument(b)?),
            ("Fn::Not", [condition]) => Ok(!self.truth(condition)?),
            ("Fn::And", _) => Ok(truths().collect::<Result<Vec<_>>>()?.iter().all(|is| *is)),
            ("Fn::Or", _) => Ok(truths().collect::<Result<Vec<_>>>()?.iter().any(|is| *is)),
            // These three are for rules only.
            ("Fn::Contains", [list, one]) => Ok(self.texts(list)?.contains(&self.argument(one)?)),
            ("Fn::EachMemberEquals", [list, one]) => {
                let one = self.argument(one)?;
                Ok(self.texts(list)?.iter().all(|member| *member == one))
            }
            ("Fn::EachMemberIn", [list, others]) => {
                let others = self.texts(others)?;
                Ok(self
                    .texts(list)?
                    .iter()
                    .all(|member| others.contains(member)))
            }
            _ => bail!("line {}: {name} is not a condition", argument.line),
        }
    }
}
