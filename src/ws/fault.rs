//! What a peer may not do: each fault ends its connection with a close code (RFC 6455, section 7.4.1).

use std::fmt;

use super::close;

/// Declares the faults, each with its name in metrics, its close code, and what the peer is told.
macro_rules! faults {
    ($( $(#[doc = $doc:literal])+ $fault:ident = $name:literal, $code:ident, $reason:literal; )*) => {
        /// Why a connection that was upgraded cannot go on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Fault {
            $( $(#[doc = $doc])+ $fault, )*
        }

        impl Fault {
            /// Every fault, in the order of their numbers.
            pub const ALL: &[Fault] = &[$( Fault::$fault, )*];

            /// The value of the label `fault`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Fault::$fault => $name, )* }
            }

            /// What the close frame says.
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $( Fault::$fault => close::$code, )* }
            }

            /// Why, for people.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $( Fault::$fault => $reason, )* }
            }
        }
    };
}

faults! {
    /// A frame of a client must be masked (section 5.1).
    NotMasked = "not_masked", PROTOCOL_ERROR, "frames from a client must be masked";
    /// No extension was agreed on that would give these bits a meaning (section 5.2).
    ReservedBits = "reserved_bits", PROTOCOL_ERROR, "a reserved bit is set";
    /// Opcodes 3 to 7 and 11 to 15.
    ReservedOpcode = "reserved_opcode", PROTOCOL_ERROR, "this opcode has no meaning";
    /// Control frames come in one piece (section 5.5).
    FragmentedControl = "fragmented_control", PROTOCOL_ERROR, "a control frame may not be fragmented";
    /// Control frames carry at most 125 bytes (section 5.5).
    LongControl = "long_control", PROTOCOL_ERROR, "a control frame carries at most 125 bytes";
    /// The most significant bit of a length of eight bytes must be 0 (section 5.2).
    LengthTopBit = "length_top_bit", PROTOCOL_ERROR, "the top bit of the length is set";
    /// A length is written in as few bytes as possible (section 5.2).
    LengthNotMinimal = "length_not_minimal", PROTOCOL_ERROR, "the length is not written in the shortest way";
    /// A continuation of nothing (section 5.4).
    NothingToContinue = "nothing_to_continue", PROTOCOL_ERROR, "there is no message to continue";
    /// A new message before the end of the last (section 5.4).
    MessageUnfinished = "message_unfinished", PROTOCOL_ERROR, "the message before this one has no end";
    /// A close frame with half a code, or one that may not be sent (section 7.4).
    BadClose = "bad_close", PROTOCOL_ERROR, "this close code may not be sent";
    /// Text, or the reason of a close, that is not UTF-8 (section 8.1).
    InvalidUtf8 = "invalid_utf8", INVALID_TEXT, "this is not UTF-8";
    /// A message above the limit.
    TooBig = "too_big", TOO_BIG, "the message is longer than the server takes";
    /// Text where binary messages were agreed on, or bytes where text was.
    WrongKind = "wrong_kind", UNACCEPTABLE, "the sub-protocol has the other kind of message";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_numbered_as_they_are_listed() {
        for (index, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, index);
            assert!(close::may_be_sent(fault.code()) && fault.reason().len() <= 123);
        }
    }
}
