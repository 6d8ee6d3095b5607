//! Java's `String.hashCode`, on which tag codes and key hashes of the disk formats rest.

/// Hash of `text` as Java computes it over UTF-16 units, continued from `seed`: `hash_from(hash(a), b)` is
/// `hash(a + b)`.
#[must_use]
pub fn hash_from(seed: i32, text: &str) -> i32 {
    if text.is_ascii() {
        return hash_ascii(seed, text.as_bytes());
    }
    text.encode_utf16().fold(seed, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Hash of `text` as Java computes it.
#[must_use]
pub fn hash(text: &str) -> i32 {
    hash_from(0, text)
}

/// Eight characters a step: pairs, then pairs of pairs, are put together side by side in one register.
fn hash_ascii(seed: i32, bytes: &[u8]) -> i32 {
    const BYTES: u64 = 0x00FF_00FF_00FF_00FF;
    const PAIRS: u64 = 0x0000_FFFF_0000_FFFF;
    const P2: u64 = 31 * 31;
    const P4: u32 = (P2 * P2) as u32;
    const P8: u32 = P4.wrapping_mul(P4);
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut hash = seed as u32;
    for eight in eights {
        let text = u64::from_be_bytes(*eight);
        let pairs = (text >> 8 & BYTES) * 31 + (text & BYTES);
        let fours = (pairs >> 16 & PAIRS) * P2 + (pairs & PAIRS);
        let step = ((fours >> 32) as u32).wrapping_mul(P4).wrapping_add(fours as u32);
        hash = hash.wrapping_mul(P8).wrapping_add(step);
    }
    rest.iter().fold(hash as i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(*byte)))
}

/// Code of a tag in a ConsumeQueue entry; 0 for no tag.
#[must_use]
pub fn tag_code(tag: Option<&str>) -> i64 {
    tag.map_or(0, |tag| i64::from(hash(tag)))
}

/// Hash of `topic#key` as the key index stores it: never negative. `prefix` is the hash of `topic#`.
#[must_use]
pub fn key_hash(prefix: i32, key: &str) -> u32 {
    let hash = hash_from(prefix, key);
    if hash == i32::MIN { 0 } else { hash.unsigned_abs() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_java() {
        assert_eq!(hash(""), 0);
        assert_eq!(hash("TagA"), 2598919);
        assert_eq!(hash("Aa"), hash("BB"));
        assert_eq!(hash("a"), 97);
        assert_eq!(hash("polygenelubricants"), i32::MIN);
        assert_eq!(hash("é"), 233);
        assert_eq!(hash_from(hash("Topic#"), "key-12345"), hash("Topic#key-12345"));
        assert_eq!(key_hash(0, "polygenelubricants"), 0);
    }

    proptest::proptest! {
        #[test]
        fn many_at_once_are_as_one_by_one(seed: i32, text in "[ -~]{0,60}") {
            let by_one = |hash: i32, byte: u8| hash.wrapping_mul(31).wrapping_add(i32::from(byte));
            proptest::prop_assert_eq!(hash_from(seed, &text), text.bytes().fold(seed, by_one));
        }
    }
}
