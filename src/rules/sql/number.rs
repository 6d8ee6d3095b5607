//! Numbers as Java reads them from texts.

use super::Undecided;

/// Zeros of the digits that Java knows beside ASCII's, by rising code; each is followed by its 1 to 9.
const ZEROS: [u32; 36] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

fn digit(character: char) -> Option<i64> {
    if let Some(digit) = character.to_digit(10) {
        return Some(i64::from(digit));
    }
    let code = u32::from(character);
    let place = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    let digit = code - ZEROS[place];
    (digit < 10).then(|| i64::from(digit))
}

/// `Long.valueOf`
pub fn long(text: &str) -> Result<i64, Undecided> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(Undecided);
    }
    // Downwards, for the lowest number has no counterpart above.
    let mut value = 0_i64;
    for character in digits.chars() {
        let digit = digit(character).ok_or(Undecided)?;
        value = value.checked_mul(10).and_then(|value| value.checked_sub(digit)).ok_or(Undecided)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(Undecided) }
}

/// `Integer.valueOf`
pub fn int(text: &str) -> Result<i32, Undecided> {
    i32::try_from(long(text)?).map_err(|_| Undecided)
}

/// `Double.valueOf`
pub fn double(text: &str) -> Result<f64, Undecided> {
    let text = text.trim_matches(|character| character <= ' ');
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match digits {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let bytes = digits.as_bytes();
    if let [b'0', b'x' | b'X', ..] = bytes {
        return hexadecimal(&bytes[2..]).map(|value| sign * value);
    }
    let number = digits.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(digits);
    // What Rust reads beyond this ("inf", "nan", a second sign) Java does not.
    if !number.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Err(Undecided);
    }
    number.parse::<f64>().map(|value| sign * value).map_err(|_| Undecided)
}

/// `1.8p3`, what follows `0x`: a power is required, the last letter may be the type's.
fn hexadecimal(bytes: &[u8]) -> Result<f64, Undecided> {
    let mark = bytes.iter().position(|byte| matches!(byte, b'p' | b'P')).ok_or(Undecided)?;
    let power = &bytes[mark + 1..];
    let power = power.strip_suffix(b"f").or_else(|| power.strip_suffix(b"F")).unwrap_or(power);
    let power = power.strip_suffix(b"d").or_else(|| power.strip_suffix(b"D")).unwrap_or(power);
    let mut exponent = power_of(power)?;
    let (mut mantissa, mut sticky, mut digits, mut behind_point) = (0_u64, false, 0, false);
    for byte in &bytes[..mark] {
        if *byte == b'.' && !behind_point {
            behind_point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(16).ok_or(Undecided)?;
        digits += 1;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if behind_point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if behind_point { 0 } else { 4 };
        }
    }
    if digits == 0 { Err(Undecided) } else { Ok(scaled(mantissa, sticky, exponent)) }
}

/// The power of a hexadecimal number; what passes any double is cut short.
fn power_of(text: &[u8]) -> Result<i64, Undecided> {
    const FAR: i64 = 1 << 40;
    let (sign, digits) = match text.first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Undecided);
    }
    Ok(sign * digits.iter().fold(0, |value: i64, byte| (value * 10 + i64::from(byte - b'0')).min(FAR)))
}

/// `mantissa` (and a little more where `sticky`) times two to the `exponent`, rounded to the nearest, ties to even.
fn scaled(mantissa: u64, sticky: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let shift = i64::from(mantissa.leading_zeros());
    let (mantissa, top) = (mantissa << shift, exponent - shift + 63);
    if top > 1023 {
        return f64::INFINITY;
    }
    // 53 bits stay of a normal number, fewer of one below the normal ones.
    let dropped = 11 + (-1022 - top).max(0);
    if dropped > 64 {
        return 0.0;
    }
    let (kept, rest, half) = if dropped == 64 {
        (0, mantissa, 1 << 63)
    } else {
        (mantissa >> dropped, mantissa & ((1 << dropped) - 1), 1_u64 << (dropped - 1))
    };
    let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
    // A carry out of the mantissa lands in the exponent, where it belongs.
    let biased = (top + 1022).max(0) as u64;
    let bits = if top < -1022 { kept } else { (biased << 52) + kept };
    f64::from_bits(bits + u64::from(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_as_java_reads_them() {
        assert_eq!(long("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(long("9223372036854775808"), Err(Undecided));
        assert_eq!((int("+7"), int("٣٤"), int("")), (Ok(7), Ok(34), Err(Undecided)));
        assert_eq!(
            (int("2147483648"), int(" 1"), int("+"), int("1.0")),
            (Err(Undecided), Err(Undecided), Err(Undecided), Err(Undecided))
        );
    }

    #[test]
    fn doubles_as_java_reads_them() {
        for (text, value) in
            [("1", 1.0), (" 1.5\t", 1.5), ("5.", 5.0), (".5d", 0.5), ("1e3F", 1000.0), ("-0x1.8p3", -12.0)]
        {
            assert_eq!(double(text), Ok(value), "{text}");
        }
        assert_eq!(double("-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(double("NaN").unwrap().is_nan());
        for text in ["", ".", "inf", "nan", "1ff", "0x1", "0xp1", "--1", "+ 1", "1e", "d", "1_0"] {
            assert_eq!(double(text), Err(Undecided), "{text}");
        }
    }

    #[test]
    fn hexadecimal_numbers_are_rounded_to_the_nearest() {
        assert_eq!(double("0x1p-1074"), Ok(f64::from_bits(1)));
        assert_eq!(double("0x1p-1075"), Ok(0.0));
        assert_eq!(double("0x1.8p-1075"), Ok(f64::from_bits(1)));
        assert_eq!(double("0x1.fffffffffffff8p1023"), Ok(f64::INFINITY));
        assert_eq!(double("0x1.fffffffffffffp1023"), Ok(f64::MAX));
        assert_eq!(double("0x1p-1022"), Ok(f64::MIN_POSITIVE));
        assert_eq!(double("0x0.8p-1021"), Ok(f64::MIN_POSITIVE));
        assert_eq!(double("0x123456789abcdef01p0"), Ok(20_988_295_479_420_645_121_f64));
    }
}
