//! Generated names: random suffixes and template hashes, in the alphabet that Kubernetes uses.

use rand::Rng;
use serde_json::Value;

/// Consonants and the digits that are not mistaken for letters, so that no word comes out by accident.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A random suffix such as `g99m9`.
pub(crate) fn random_suffix(length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// The `pod-template-hash` of a pod template. `collisions` counts how often the name was taken by another template.
///
/// Kubernetes hashes Go's printed form of the template with FNV-1a in 32 bits and writes the decimal number in the
/// alphabet above. The printed form cannot be had here, so the JSON with sorted keys stands in: the hashes look the
/// same and serve the same purpose, but differ in value.
pub(crate) fn template_hash(template: &Value, collisions: u64) -> String {
    let mut text = String::new();
    write_sorted(template, &mut text);
    let mut hash: u32 = 0x811c_9dc5;
    let collisions = if collisions == 0 { vec![] } else { collisions.to_le_bytes().to_vec() };
    for byte in text.bytes().chain(collisions) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    safe_encode(&hash.to_string())
}

/// Replaces every character by one of the alphabet.
fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort_unstable();
            text.push('{');
            for name in names {
                text.push_str(name);
                text.push(':');
                write_sorted(&fields[name], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn suffixes_have_the_alphabet_and_differ() {
        let first = random_suffix(5);
        assert_eq!(first.len(), 5);
        assert!(first.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_ne!(random_suffix(12), random_suffix(12));
    }

    #[test]
    fn a_decimal_number_becomes_the_letters_of_a_hash() {
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
    }

    #[test]
    fn the_hash_depends_on_the_content_and_not_on_the_order() {
        let one = json!({"a": 1, "b": [1, 2]});
        let same = json!({"b": [1, 2], "a": 1});
        assert_eq!(template_hash(&one, 0), template_hash(&same, 0));
        assert_ne!(template_hash(&one, 0), template_hash(&one, 1));
        assert_ne!(template_hash(&one, 0), template_hash(&json!({"a": 1, "b": [2, 1]}), 0));
    }
}
