//! WebSocket (RFC 6455) without sockets: bytes go in, messages and answers come out.
//!
//! A connection begins with a request ([`upgrade`]) and its [`answer`]. From then on it carries frames ([`frame`]): [`Incoming`] unmasks them in
//! place and puts messages together; [`close`] knows what an end may look like, [`Fault`] what a peer may not do. Extensions are not
//! negotiated, so reserved bits mean nothing here.

pub mod answer;
pub mod close;
pub mod fault;
pub mod frame;
pub mod incoming;
mod mask;
pub mod names;
#[cfg(test)]
mod tests;
pub mod upgrade;
mod utf8;

pub use fault::Fault;
pub use incoming::{Event, Incoming};
pub use names::Names;
pub use upgrade::{Agreed, Refusal, Rules};
