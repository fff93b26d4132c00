//! Masking (RFC 6455, section 5.3), which is its own inverse.

/// Unmasks the beginning of a payload in place; gives the mask for what follows it.
pub fn apply(mask: [u8; 4], payload: &mut [u8]) -> [u8; 4] {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    tail.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    let mut next = mask;
    next.rotate_left(tail.len() % 4);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_the_rfc_says_wherever_it_is_cut() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked: Vec<u8> = (0..100).collect();
        let plain: Vec<u8> = masked.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
        for cut in 0..=masked.len() {
            let mut payload = masked.clone();
            let (front, back) = payload.split_at_mut(cut);
            let next = apply(mask, front);
            apply(next, back);
            assert_eq!(payload, plain, "cut at {cut}");
        }
    }
}
