//! For crash tests only: a store that acknowledges too early, so that a test can show that it would notice.

/// When outcomes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When what they tell is so.
    #[default]
    Honestly,
    /// Before anything is written.
    #[cfg(feature = "test-faults")]
    BeforeAppend,
    /// When it is written, and not synced.
    #[cfg(feature = "test-faults")]
    BeforeSync,
}

/// The variable that asks for it, as `before-append` or `before-sync`.
#[cfg(feature = "test-faults")]
pub const VARIABLE: &str = "CAMPANILE_TEST_ACK";

impl Acknowledge {
    /// What the environment asks for.
    #[cfg(feature = "test-faults")]
    pub fn from_environment() -> Acknowledge {
        match std::env::var(VARIABLE).as_deref() {
            Ok("before-append") => Acknowledge::BeforeAppend,
            Ok("before-sync") => Acknowledge::BeforeSync,
            Ok(other) => panic!("{VARIABLE} is before-append or before-sync, not {other}"),
            Err(_) => Acknowledge::Honestly,
        }
    }

    /// Without the feature there is nothing to ask for.
    #[cfg(not(feature = "test-faults"))]
    pub fn from_environment() -> Acknowledge {
        Acknowledge::Honestly
    }

    /// Whether outcomes go before the write.
    pub fn before_write(self) -> bool {
        #[cfg(feature = "test-faults")]
        return self == Acknowledge::BeforeAppend;
        #[cfg(not(feature = "test-faults"))]
        return false;
    }

    /// Whether outcomes go before the sync.
    pub fn before_sync(self) -> bool {
        #[cfg(feature = "test-faults")]
        return self == Acknowledge::BeforeSync;
        #[cfg(not(feature = "test-faults"))]
        return false;
    }
}
