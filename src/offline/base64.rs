//! Base64 (RFC 4648, section 4, with padding), for bodies that are no text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| (bits << 8) | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for letter in 0..4 {
            let sextet = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

/// Reads what [`encode`] wrote, and nothing else. `None`: it is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let letters = text.trim_end_matches('=').as_bytes();
    for chunk in letters.chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            let sextet = chunk.get(at).map_or(Some(0), |letter| ALPHABET.iter().position(|other| other == letter))?;
            bits = (bits << 6) | sextet as u32;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["Z", "Zg", "Zg=", "Zg===", "Zh==", "Z g=", "Zm9v\n", "Zm9v=", "====", "Zm-_"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
