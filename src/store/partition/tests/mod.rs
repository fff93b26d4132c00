//! Each rule of the writer, over a simulated disk; what is on it is looked at row by row.

mod append;
mod failure;
mod group;
mod head;
mod list;

use std::sync::Arc;

use super::*;
use crate::conversation::{Content, Key, Record, flags};
use crate::id::Address;
use crate::mesh::{Reply, SessionKey};
use crate::store::rows::Row;
use crate::store::simulated::Store;
use crate::store::simulated::commands::*;
use crate::store::{Append, PutCursors};
use crate::wire::schema::{RecordKind, Role};
