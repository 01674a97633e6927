//! `chat-admin`: what those who run the chat ask of it.
//!
//! - `deployment`: finds the database and the gateway
//! - `output`, `outcome`, `progress`, `interrupt`, `failure`: what is printed, the exit status, the progress of long work, Ctrl-C,
//!   errors in words
//! - `status`: whether the deployment is whole
//! - `user`, `connections`: what is known of a user, and who is online
//! - `conversation`, `tail`: one conversation, and new entries of all
//! - `limit`: the rate limits of a user or a group
//! - `export`: all that is stored of a user
//! - `erase`: the erasure of a user's data, and its jobs
//! - `retention`: the removal of old messages
//! - `sweep`: the rows of connections that are gone
//! - `token`: why a token would be refused
//! - `verify`: whether the data is what the chat promises

mod connections;
mod conversation;
mod deployment;
mod erase;
mod export;
mod failure;
mod indexes;
mod interrupt;
mod limit;
mod outcome;
mod output;
mod progress;
mod retention;
mod status;
mod sweep;
mod tail;
mod token;
mod user;
mod verify;

use anyhow::{Context, Result};
use chat::UserId;
use chrono::TimeDelta;
use clap::{Parser, Subcommand};

use deployment::Deployment;
use outcome::Outcome;
use output::Output;

/// Looks into a MeetMe chat.
///
/// The environment names the chat as it does for the functions: MONGODB_URI or MONGODB_SECRET_ARN, MONGODB_DATABASE,
/// and for what concerns open connections MANAGEMENT_ENDPOINT with AWS_REGION and credentials. Without it, the chat is
/// the one that cargo local runs in this checkout.
///
/// Nothing is changed without --confirm. The exit status is 0 if all is well, 1 if something is wrong, 2 if that cannot
/// be told, and 141 if nobody reads the output any more.
#[derive(Parser)]
#[command(name = "chat-admin", version)]
struct Arguments {
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether database, indexes, migration and gateway are as they should be, and how much there is
    Status,

    #[command(flatten)]
    OfChat(OfChat),

    /// Say whether a token is valid, and if not, why. It needs the authorizer's settings: JWT_ISSUER, JWT_AUDIENCE,
    /// JWT_KEYS_URL or JWT_SECRET_ARN, JWT_USER_CLAIM
    #[command(after_help = "Example:\n  pbpaste | chat-admin token")]
    Token {
        /// The token; without it, standard input is read, so that no other user of the machine sees it
        token: Option<String>,
    },
}

/// What is asked of a running chat.
#[derive(Subcommand)]
enum OfChat {
    /// Show a user: connections, settings, conversations with marks and unread messages
    User {
        /// The user
        user: String,
    },
    /// List who is online
    Online {
        /// Only users who have come within this time: 90s, 5m, 2h
        #[arg(long, value_name = "TIME", value_parser = duration)]
        since: Option<TimeDelta>,
        /// Go on, and print who comes and who leaves, until Ctrl-C
        #[arg(long, conflicts_with = "since")]
        watch: bool,
    },
    /// Close all connections of a user
    #[command(after_help = "A user whose token is still valid may connect again at once.")]
    Kick {
        /// The user
        user: String,
        /// Close them; without this, they are only listed
        #[arg(long)]
        confirm: bool,
    },
    /// Show a conversation: its members with their marks, and its newest entries without their texts
    #[command(after_help = "Examples:\n  chat-admin conversation ana ben\n  \
        chat-admin conversation group:kB0yXW7Xw1yJ0QyYb8fN0A --limit 5 --texts")]
    Conversation {
        /// Its id, or its two users
        #[arg(required = true, num_args = 1..=2)]
        names: Vec<String>,
        /// Entries
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Show texts too
        #[arg(long)]
        texts: bool,
    },
    /// Print new entries as they are written, without their texts, until Ctrl-C
    Tail {
        /// Only those of this conversation
        conversation: Option<String>,
        /// Show texts too
        #[arg(long)]
        texts: bool,
    },
    /// Show how far the rate limits of a user, or of a group, are used up
    Limit {
        /// The user or the group
        id: String,
        /// Fill them
        #[arg(long)]
        reset: bool,
        /// Do that; without this, it is only said
        #[arg(long, requires = "reset")]
        confirm: bool,
    },
    /// Print all that is stored of a user, a JSON object a line: profile, connections, conversations, own messages
    #[command(after_help = "Example:\n  chat-admin export ana > ana.ndjson")]
    Export {
        /// The user
        user: String,
        /// What others have written in the user's conversations too
        #[arg(long)]
        conversations: bool,
    },
    /// Erase the data of a user: settings, connections, texts, places in groups. Numbers stay, and so does what others have
    /// written
    #[command(
        after_help = "Examples:\n  chat-admin erase ana\n  chat-admin erase ana --confirm\n  chat-admin jobs"
    )]
    Erase(erase::Flags),
    /// List the erasures: those that were interrupted, and when each is to be repeated
    Jobs {
        /// Only those of this user
        user: Option<String>,
    },
    /// Find the connections whose end was not reported, by asking the gateway for each
    Sweep {
        /// Delete their rows; without this, they are only counted
        #[arg(long)]
        confirm: bool,
    },
    /// Remove the messages that are older than a time. The newest entry of each conversation stays, without its text,
    /// and so does what has changed a group
    #[command(after_help = "Example:\n  chat-admin retention --older-than 365d")]
    Retention {
        /// The age: 90d, 12h; 0s stands for everything
        #[arg(long, value_name = "TIME", value_parser = age)]
        older_than: TimeDelta,
        /// Remove them; without this, they are only counted
        #[arg(long)]
        confirm: bool,
    },
    /// Verify that the data is what the chat promises
    #[command(
        after_help = "Examples:\n  chat-admin verify\n  chat-admin verify --repair --confirm\n  \
        chat-admin verify direct:3:ana:ben"
    )]
    Verify(verify::Flags),
}

/// Reads an age: a duration, or `0s`. Of other zeros it is more likely that a digit is missing.
fn age(text: &str) -> Result<TimeDelta, String> {
    if text == "0s" {
        return Ok(TimeDelta::zero());
    }
    duration(text).map_err(|reason| format!("{reason}; 0s stands for everything"))
}

/// Reads a positive number with `s`, `m`, `h` or `d`.
fn duration(text: &str) -> Result<TimeDelta, String> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err("give a number with s, m, h or d, as in 5m".to_owned()),
    };
    let number: i64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| "give a whole number before the unit, as in 5m".to_owned())?;
    if number < 1 {
        return Err("give a time of at least 1s".to_owned());
    }
    let seconds = number.checked_mul(seconds);
    let time = seconds.and_then(TimeDelta::try_seconds);
    time.ok_or_else(|| "that is too long".to_owned())
}

#[tokio::main]
async fn main() {
    let status = match run(Arguments::parse()).await {
        Ok(outcome) => outcome.into(),
        Err(error) if output::is_closed(&error) => Outcome::UNREAD,
        Err(error) => {
            output::note(format_args!("error: {}", failure::in_words(&error)));
            Outcome::UNKNOWN
        }
    };
    // The driver still closes cursors, and panics if its runtime ends meanwhile.
    std::process::exit(status);
}

async fn run(arguments: Arguments) -> Result<Outcome> {
    let output = if arguments.json {
        Output::Json
    } else {
        Output::Text
    };
    match arguments.command {
        Command::Status => {
            let deployment = Deployment::find()?;
            // The rest may be well if the database is not.
            let store = deployment.store().await;
            status::run(store, deployment.push().ok().as_ref(), output).await
        }
        Command::Token { token } => token::run(token, output).await,
        Command::OfChat(command) => ask(command, output).await,
    }
}

async fn ask(command: OfChat, output: Output) -> Result<Outcome> {
    let deployment = Deployment::find()?;
    let store = deployment.store().await?;
    let user_id = |user: String| UserId::try_from(user).context("the user");
    match command {
        OfChat::User { user } => {
            let push = deployment.push().ok();
            user::run(&store, push.as_ref(), &user_id(user)?, output).await
        }
        OfChat::Online { watch: true, .. } => connections::watch(&store, output).await,
        OfChat::Online { since, .. } => connections::online(&store, since, output).await,
        OfChat::Kick { user, confirm } => {
            let push = deployment.push()?;
            connections::kick(&store, &push, &user_id(user)?, confirm, output).await
        }
        OfChat::Conversation {
            names,
            limit,
            texts,
        } => {
            let id = conversation::id(&names)?;
            conversation::run(&store, &id, limit, texts, output).await
        }
        OfChat::Tail {
            conversation,
            texts,
        } => tail::run(&store, conversation.map(Into::into), texts, output).await,
        OfChat::Limit { id, reset, confirm } => {
            limit::run(&store, &id, reset.then_some(confirm), output).await
        }
        OfChat::Export {
            user,
            conversations,
        } => export::run(&store, &user_id(user)?, conversations).await,
        OfChat::Erase(flags) => {
            let push = deployment.push().ok();
            erase::run(&store, push.as_ref(), flags, output).await
        }
        OfChat::Jobs { user } => {
            let user = user.map(user_id).transpose()?;
            erase::jobs(&store, user.as_ref(), output).await
        }
        OfChat::Sweep { confirm } => sweep::run(&store, &deployment.push()?, confirm, output).await,
        OfChat::Retention {
            older_than,
            confirm,
        } => retention::run(&store, older_than, confirm, output).await,
        OfChat::Verify(flags) => verify::run(&store, &flags, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(TimeDelta::seconds(90)));
        assert_eq!(duration("2h"), Ok(TimeDelta::hours(2)));
        for text in ["", "5", "m", "5 m", "1.5h", "5ä", "9223372036854775807d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_positive_and_an_age_may_also_be_0s() {
        for text in ["-5d", "-1s", "0d", "0m", "-0s"] {
            assert!(duration(text).is_err() && age(text).is_err(), "{text}");
        }
        assert!(duration("0s").is_err());
        assert_eq!(age("0s"), Ok(TimeDelta::zero()));
        assert_eq!(age("90d"), Ok(TimeDelta::days(90)));
    }
}
