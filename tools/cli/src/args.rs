//! The command line.

use std::time::Duration;

use campanile_client::{Conversation, Role};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Campanile in the terminal: without a command a small chat, with one a tool for scripts.
#[derive(Debug, Parser)]
#[command(name = "campanile-cli", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Who you are; logs in with the development identity dev:USER
    #[arg(long, global = true, value_name = "USER")]
    pub user: Option<String>,

    /// Log in with this token instead of dev:USER
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,

    /// The server
    #[arg(long, global = true, default_value = "tcp://127.0.0.1:7400", value_name = "tcp://HOST:PORT")]
    pub target: String,

    /// Name of this device; a second session of a device replaces the first (default: `terminal` for the chat, `cli-PID` for commands)
    #[arg(long, global = true, value_name = "NAME")]
    pub device: Option<String>,

    /// How long a command waits for its answer, in seconds
    #[arg(long, global = true, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,

    /// What to do; nothing: chat
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Conversations are written direct:USER, group:ID, topic:ID and broadcast.

Examples:
  campanile-cli --user alice                              chat
  campanile-cli --user bob send direct:alice \"hi\"         send one message, print its place
  campanile-cli --user alice listen --json                print what arrives, one JSON object per line
  campanile-cli --user alice listen topic:news --count 1  wait for one message of a topic
  campanile-cli --user alice create team --open           make a group that anyone may join
  campanile-cli --user alice history group:team --limit 5
  campanile-cli --user alice retract group:team 12        take back the message of that number

Exit codes: 0 done, 1 the server refused or cannot be reached, 2 the command line makes no sense.";

/// One command for scripts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a message and print its place in the conversation
    Send {
        /// direct:USER, group:ID, topic:ID or broadcast
        address: Conversation,
        /// The text; `-` reads it from standard input
        text: String,
        /// What filters of a topic look at
        #[arg(long)]
        tag: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Take back a message of yours, for everyone who has not read it yet or reads it again
    Retract {
        /// direct:USER, group:ID, topic:ID or broadcast
        address: Conversation,
        /// Its number in the conversation, as `send` and `history` print it
        seq: u64,
        #[command(flatten)]
        output: Output,
    },
    /// Print what arrives, until interrupted
    ///
    /// Messages go to standard output, the state of the connection to standard error. With --device NAME the server remembers for
    /// that device what was printed, and the next run goes on there; without it a run begins at what you have not read.
    Listen {
        /// Only these conversations; topics are subscribed to. Nothing: all that comes
        addresses: Vec<Conversation>,
        /// Of topics only messages with one of these tags
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        #[command(flatten)]
        how: Listening,
    },
    /// Print what arrives of topics: listen topic:ID
    Subscribe {
        /// The topics, with or without `topic:`
        #[arg(required = true)]
        topics: Vec<String>,
        /// Only messages with one of these tags
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        #[command(flatten)]
        how: Listening,
    },
    /// Make a group
    Create {
        /// Its id; nothing: the server makes one
        group: Option<String>,
        /// What people see
        #[arg(long)]
        title: Option<String>,
        /// Anyone may join
        #[arg(long)]
        open: bool,
        /// A new member reads from the beginning, not from where he joined
        #[arg(long)]
        whole_history: bool,
        /// Members from the start
        #[arg(long = "member", value_name = "USER")]
        members: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Join an open group
    Join {
        /// The group, with or without `group:`
        group: String,
        #[command(flatten)]
        output: Output,
    },
    /// Leave a group
    Leave {
        /// The group, with or without `group:`
        group: String,
        #[command(flatten)]
        output: Output,
    },
    /// Add a user to a group
    Add {
        /// The group, with or without `group:`
        group: String,
        /// Whom
        #[arg(id = "MEMBER", value_name = "USER")]
        user: String,
        /// As what
        #[arg(long, default_value = "member")]
        role: GivenRole,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a user from a group
    Remove {
        /// The group, with or without `group:`
        group: String,
        /// Whom
        #[arg(id = "MEMBER", value_name = "USER")]
        user: String,
        #[command(flatten)]
        output: Output,
    },
    /// Give a member of a group another role
    Role {
        /// The group, with or without `group:`
        group: String,
        /// Whose
        #[arg(id = "MEMBER", value_name = "USER")]
        user: String,
        /// Which
        role: GivenRole,
        #[command(flatten)]
        output: Output,
    },
    /// Give a group another title
    Title {
        /// The group, with or without `group:`
        group: String,
        /// The title
        title: String,
        #[command(flatten)]
        output: Output,
    },
    /// End a group
    Disband {
        /// The group, with or without `group:`
        group: String,
        #[command(flatten)]
        output: Output,
    },
    /// Who is in a group
    Members {
        /// group:ID or direct:USER
        address: Conversation,
        #[command(flatten)]
        output: Output,
    },
    /// Your conversations and what you have not read
    Conversations {
        #[command(flatten)]
        output: Output,
    },
    /// The newest messages of a conversation, oldest of them first
    History {
        /// direct:USER, group:ID, topic:ID or broadcast
        address: Conversation,
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u64,
        /// Only those before this number
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Whether users are there
    Presence {
        /// Whom to ask about; only users with whom you share a conversation are told
        #[arg(required = true)]
        users: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// One JSON object per line, with the field names of the schema
    #[arg(long)]
    pub json: bool,
}

/// How to listen.
#[derive(Clone, Copy, Debug, Args)]
pub struct Listening {
    #[command(flatten)]
    pub output: Output,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Also receipts, presence and ephemeral events
    #[arg(long)]
    pub all: bool,
}

/// A role that can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GivenRole {
    /// Reads and writes
    Member,
    /// Also adds and removes members
    Admin,
    /// Everything
    Owner,
}

impl From<GivenRole> for Role {
    fn from(role: GivenRole) -> Role {
        match role {
            GivenRole::Member => Role::member,
            GivenRole::Admin => Role::admin,
            GivenRole::Owner => Role::owner,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "write a number of seconds".to_owned())
}

/// An id that may be written with its kind: `team` and `group:team` are the same.
pub fn bare<'a>(kind: &str, text: &'a str) -> &'a str {
    text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in ["cli --user bob send direct:alice hi", "cli send direct:alice hi --user bob"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("sound");
            assert_eq!(cli.user.as_deref(), Some("bob"));
            assert!(matches!(cli.command, Some(Command::Send { .. })));
        }
    }

    /// A positional of the same name as an option of the whole program would take its place.
    #[test]
    fn whom_a_command_is_about_is_not_who_gives_it() {
        for line in ["cli --user alice add team bob", "cli --user alice remove team bob", "cli --user alice role team bob admin"]
        {
            let cli = Cli::try_parse_from(line.split(' ')).expect("sound");
            assert_eq!(cli.user.as_deref(), Some("alice"), "{line}");
        }
        let names = |command: &clap::Command| command.get_arguments().map(|a| a.get_id().to_string()).collect::<Vec<_>>();
        let whole = names(&Cli::command());
        for command in Cli::command().get_subcommands() {
            assert!(names(command).iter().all(|name| !whole.contains(name)), "{}", command.get_name());
        }
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["cli send alice hi", "cli history", "cli listen --count 0", "cli role team bob king", "cli sned"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn kinds_may_be_left_out() {
        assert_eq!(bare("group", "group:team"), "team");
        assert_eq!(bare("group", "team"), "team");
        assert_eq!(bare("group", "groupies"), "groupies");
        assert_eq!(bare("topic", "a:b"), "a:b");
    }
}
