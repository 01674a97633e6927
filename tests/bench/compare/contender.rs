//! The chat, a sample, or the old server, each with a database of its own.

use anyhow::Result;
use mongodb::Database;
use mongodb::bson::{Document, doc, oid::ObjectId};
use rustix::process::Pid;
use tests::baseline::{Language, OldServer, Sample};
use tests::client::encode;
use tests::gateway::durations_ms;
use tests::process::{children, descendants_named, memory_kb, name_and_cpu_ms};
use tests::{Chat, Client, LocalGateway, server, until};

use super::pair::{Pair, ids};
use crate::messages::TEXT;
use crate::mode::Mode;

/// Messages of an insert when conversations are filled.
const BATCH: usize = 5_000;

/// Sends whose billed time is counted, and those before.
const BILLED: usize = 500;
const NOT_BILLED: usize = 50;

/// A program that is compared.
pub struct Contender {
    /// The head of its column.
    pub name: String,
    program: Program,
    database: Database,
    uri: &'static str,
}

enum Program {
    Chat(Mode, Chat),
    Sample(Sample, LocalGateway),
    OldServer(OldServer),
}

impl Contender {
    /// Starts the chat.
    pub async fn chat(mode: Mode) -> Self {
        let uri = server::uri().await;
        let chat = mode.chat().flags(&["--log", "warn"]).start().await;
        Self {
            name: "chat".to_owned(),
            database: chat.database.clone(),
            program: Program::Chat(mode, chat),
            uri,
        }
    }

    /// Starts a sample.
    ///
    /// # Errors
    ///
    /// Its packages cannot be installed, or it does not start.
    pub async fn sample(language: Language) -> Result<Self> {
        let (uri, name) = (server::uri().await, server::database_name());
        let sample = language.sample().await?;
        let gateway = sample.start(uri, &name, &["--log", "warn"]).await?;
        Ok(Self {
            name: format!("{language} sample"),
            program: Program::Sample(sample, gateway),
            database: server::database(uri, &name).await?,
            uri,
        })
    }

    /// Starts the old server.
    pub async fn old_server() -> Self {
        let (uri, name) = (server::uri().await, server::database_name());
        let old = OldServer::start(uri, &name).await;
        Self {
            name: "old server".to_owned(),
            program: Program::OldServer(old),
            database: server::database(uri, &name).await.expect("a database"),
            uri,
        }
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        match &self.program {
            Program::Chat(_, chat) => chat.connect(user_id).await,
            Program::Sample(_, gateway) => connect(gateway, user_id).await,
            Program::OldServer(old) => old.connect(user_id).await,
        }
    }

    /// Returns whether a sender gets an ack.
    pub fn has_acks(&self) -> bool {
        matches!(self.program, Program::Chat(..))
    }

    /// Inserts messages into the conversation of a pair.
    pub async fn fill(&self, pair: usize, messages: i64) {
        let (collection, ids) = (self.database.collection("chat_messages"), ids(pair));
        let numbers: Vec<i64> = (1..=messages).collect();
        for batch in numbers.chunks(BATCH) {
            let batch = batch.iter().map(|seq| self.document(&ids, *seq));
            collection.insert_many(batch).await.expect("inserted");
        }
    }

    /// Returns a message as this program stores it.
    fn document(&self, [sender, receiver]: &[String; 2], seq: i64) -> Document {
        let mut document = doc! {
            "_id": ObjectId::new(), "sender_id": sender, "receiver_id": receiver, "message": TEXT,
            "timestamp": "2026-11-22T11:15:03.123Z",
        };
        let (low, high) = (sender.min(receiver), sender.max(receiver));
        let conversation_id = match self.program {
            Program::Chat(..) => format!("direct:{}:{low}:{high}", low.len()),
            Program::Sample(..) => format!("{low}:{high}"),
            Program::OldServer(_) => return document,
        };
        document.insert("conversation_id", conversation_id);
        if let Program::Chat(..) = self.program {
            document.insert("seq", seq);
        }
        document
    }

    /// Returns the mean resident memory of a process of the function that sends, in MB.
    pub fn memory_mb(&self) -> Option<f64> {
        let processes = match &self.program {
            Program::Chat(_, chat) => descendants_named(chat.pid(), "send-message"),
            Program::Sample(_, gateway) => children(gateway.pid())
                .into_iter()
                .filter(|id| name_and_cpu_ms(*id).is_some_and(|(name, _)| name != "sh"))
                .collect(),
            Program::OldServer(_) => return None,
        };
        let memory = processes.iter().copied().map(resident_mb);
        Some(memory.sum::<f64>() / processes.len() as f64)
    }

    /// Returns the mean billed time of a send, in milliseconds. Lambda rounds each up to a whole one.
    ///
    /// The gateway logs the durations, so it is started once more, with its log.
    pub async fn billed_ms(&self) -> Option<f64> {
        let rows = self.database.collection::<Document>("connections");
        // Nothing is pushed to connections of clients that have just left.
        until(async || rows.count_documents(doc! {}).await.expect("counted") == 0).await;
        let logged = self.start_logged().await?;
        let mut pair = Pair::of(&logged, 0).await;
        for _ in 0..NOT_BILLED + BILLED {
            pair.message().await;
            pair.all_acked().await;
        }
        drop(pair);
        let log = match logged.program {
            Program::Chat(_, chat) => chat.shutdown().await,
            Program::Sample(_, gateway) => shutdown(gateway).await,
            Program::OldServer(_) => unreachable!("it is not started"),
        };
        let durations = durations_ms(&log, "sendMessage");
        let billed = durations.iter().skip(NOT_BILLED).map(|ms| ms.ceil());
        Some(billed.sum::<f64>() / (durations.len() - NOT_BILLED) as f64)
    }

    /// Starts it once more on its database, with a log of the invocations; the old server has none.
    async fn start_logged(&self) -> Option<Self> {
        let (uri, name) = (self.uri, self.database.name());
        let flags = ["--log", "info"];
        let program = match &self.program {
            Program::Chat(mode, _) => {
                let settings = mode.chat().database(uri, name).flags(&flags);
                Program::Chat(*mode, settings.start().await)
            }
            Program::Sample(sample, _) => {
                let gateway = sample.start(uri, name, &flags).await;
                Program::Sample(sample.clone(), gateway.expect("it starts again"))
            }
            Program::OldServer(_) => return None,
        };
        Some(Self {
            name: self.name.clone(),
            program,
            database: self.database.clone(),
            uri,
        })
    }

    /// Stops it, and drops its database.
    pub async fn stop(self) {
        match self.program {
            Program::Chat(_, chat) => drop(chat.shutdown().await),
            Program::Sample(_, gateway) => drop(shutdown(gateway).await),
            Program::OldServer(old) => drop(old),
        }
        self.database.drop().await.expect("dropped");
    }
}

async fn connect(gateway: &LocalGateway, user_id: &str) -> Client {
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let url = format!("{url}?user_id={}", encode(user_id));
    let connected = Client::connect(&url).await;
    connected.expect("the handshake succeeds")
}

async fn shutdown(gateway: LocalGateway) -> String {
    let (status, log) = gateway.stop().await.expect("it is waited for");
    assert!(status.success(), "{status}: {log}");
    log
}

fn resident_mb(id: Pid) -> f64 {
    memory_kb(id.as_raw_pid().cast_unsigned()) as f64 / 1_024.0
}
