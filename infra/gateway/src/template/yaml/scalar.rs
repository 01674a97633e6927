//! Plain scalars of YAML 1.1, which CloudFormation and SAM read: `yes` is a boolean, `0777` an octal number,
//! `1:30` a number of base 60. A date stays a text, as in SAM.
//!
//! <https://yaml.org/type/>, in the form that PyYAML, and so SAM, gives the rules.

use serde_json::Value;

/// Returns the value of a plain scalar.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return true.into();
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return false.into();
        }
        _ => {}
    }
    let number = integer(text).map(Value::from);
    let number = number.or_else(|| float(text).map(Value::from));
    number.unwrap_or_else(|| text.into())
}

/// Reads a whole number of base 2, 8, 10, 16 or 60. One that does not fit is none, and stays a text.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let plain = digits.replace('_', "");
    let number = if let Some(digits) = plain.strip_prefix("0b") {
        radix(digits, 2)
    } else if let Some(digits) = plain.strip_prefix("0x") {
        radix(digits, 16)
    } else if digits.starts_with('0') && digits.len() > 1 {
        radix(&plain, 8)
    } else if digits.contains(':') {
        let (first, rest) = plain.split_once(':')?;
        sexagesimal(radix(first, 10)?, rest)
    } else {
        radix(&plain, 10)
    };
    number.map(|number| if negative { -number } else { number })
}

fn radix(digits: &str, radix: u32) -> Option<i64> {
    let is_plain = digits.starts_with(|first: char| first.is_digit(radix));
    is_plain.then(|| i64::from_str_radix(digits, radix).ok())?
}

/// Adds the digits of base 60 behind the first.
fn sexagesimal(first: i64, rest: &str) -> Option<i64> {
    rest.split(':').try_fold(first, |number, digit| {
        let value = radix(digit, 10).filter(|value| digit.len() <= 2 && *value < 60)?;
        number.checked_mul(60)?.checked_add(value)
    })
}

/// Reads a number with a decimal point. An exponent needs its sign: `1e3` is a text.
fn float(text: &str) -> Option<f64> {
    let (negative, digits) = sign(text);
    let (whole, fraction) = digits.split_once('.')?;
    if whole.is_empty() && digits.len() != text.len() {
        return None;
    }
    let (fraction, exponent) = match fraction.split_once(['e', 'E']) {
        Some((fraction, exponent)) if has_sign(exponent) => (fraction, exponent),
        Some(_) => return None,
        None => (fraction, "0"),
    };
    let is_number = |part: &str| part.chars().all(|it| it.is_ascii_digit() || it == '_');
    let has_digits = !whole.is_empty() || starts_with_digit(fraction);
    let is_fraction = is_number(fraction) && has_digits;
    let (base_60, whole) = match whole.rsplit_once(':') {
        Some((first, last)) => (integer(&format!("{first}:{last}"))? - integer(last)?, last),
        None => (0, whole),
    };
    if !is_fraction || !is_number(whole) || !(whole.is_empty() || starts_with_digit(whole)) {
        return None;
    }
    let number: f64 = format!("{whole}.{fraction}0e{exponent}")
        .replace('_', "")
        .parse()
        .ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a number of base 60 is small")]
    let number = number + base_60 as f64;
    Some(if negative { -number } else { number })
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

fn has_sign(exponent: &str) -> bool {
    let digits = exponent.strip_prefix(['-', '+']);
    digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|it| it.is_ascii_digit()))
}

/// Splits off the sign; returns whether it is a minus.
fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_scalar_is_read_as_pyyaml_does() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("NO", json!(false)),
            ("off", json!(false)),
            ("y", json!("y")),
            ("nO", json!("nO")),
            ("0", json!(0)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("1_000", json!(1000)),
            ("0777", json!(511)),
            ("0o17", json!("0o17")),
            ("09123", json!("09123")),
            ("012345678901", json!("012345678901")),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("0x", json!("0x")),
            ("1:30", json!(90)),
            ("190:20:30", json!(685_230)),
            ("1:60", json!("1:60")),
            ("08:30", json!("08:30")),
            ("1:30.5", json!(90.5)),
            ("1.0", json!(1.0)),
            ("2.", json!(2.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1.5e+3", json!(1500.0)),
            ("1e3", json!("1e3")),
            ("1.5e3", json!("1.5e3")),
            ("1.2.3", json!("1.2.3")),
            (".", json!(".")),
            (".e+1", json!(".e+1")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("2010-09-09", json!("2010-09-09")),
            (
                "2001-12-14t21:59:43.10-05:00",
                json!("2001-12-14t21:59:43.10-05:00"),
            ),
            ("arn:aws:x", json!("arn:aws:x")),
            (".inf", json!(".inf")),
            ("_1", json!("_1")),
        ] {
            assert_eq!(plain(text), value, "{text:?}");
        }
    }
}
