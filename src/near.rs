//! A number that is known to be near another, in half the memory.

/// The lower half of a number: it is known again from one that is less than 2^31 away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near(u32);

impl Near {
    /// Keeps the lower half.
    pub fn new(number: u64) -> Near {
        Near(number as u32)
    }

    /// The number, which is the one nearest to `anchor`.
    pub fn to(self, anchor: u64) -> u64 {
        let distance = self.0.wrapping_sub(anchor as u32).cast_signed();
        anchor.saturating_add_signed(distance.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_again_from_near_it() {
        let far = (1 << 31) - 1;
        for number in [far, 1 << 31, u64::from(u32::MAX), (1 << 32) + 5, 1 << 40] {
            for anchor in [number - far, number - 1, number, number + 1, number + far] {
                assert_eq!(Near::new(number).to(anchor), number);
            }
        }
    }
}
