//! Numbers with a point, as Java prints them.

use std::fmt;

/// Prints a finite number as Java's `Double.toString` does: `0.0`, `1.5`, `1.0E10`, `1.5E-7`.
#[derive(Debug, Clone, Copy)]
pub struct JavaDouble(pub f64);

/// Java changes to powers of ten below this magnitude …
const PLAIN_FROM: f64 = 1e-3;
/// … and from this one on.
const PLAIN_BELOW: f64 = 1e7;

impl fmt::Display for JavaDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        if number == 0.0 || (PLAIN_FROM..PLAIN_BELOW).contains(&number.abs()) {
            return write!(f, "{number:?}");
        }
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, power)) if digits.contains('.') => write!(f, "{digits}E{power}"),
            Some((digits, power)) => write!(f, "{digits}.0E{power}"),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JavaDouble;

    #[test]
    fn doubles_look_as_in_java() {
        let known = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.6667, "1.6667"),
            (0.001, "0.001"),
            (1.5e-7, "1.5E-7"),
            (1e10, "1.0E10"),
            (123_456_789.125, "1.23456789125E8"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1e21, "1.0E21"),
        ];
        for (number, text) in known {
            assert_eq!(JavaDouble(number).to_string(), text);
        }
    }
}
