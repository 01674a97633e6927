//! Pairs that chat concurrently, contender by contender.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::pair::Pair;
use crate::cpu::{Cpu, Role, Used};
use crate::figures::Samples;

/// Turns of each contender. The first one is not counted.
const TURNS: usize = 4;

/// Length of a turn.
const TURN: Duration = Duration::from_secs(3);

/// Results of one turn or several.
#[derive(Default)]
pub struct Total {
    /// Durations from send to receive.
    pub delivered: Samples,
    time: Duration,
    used: Used,
}

/// Lets the pairs of each contender chat for some turns. Returns the results of each contender.
pub async fn all_chat(contenders: &mut [Vec<Pair>]) -> Vec<Total> {
    let mut totals: Vec<_> = contenders.iter().map(|_| Total::default()).collect();
    for turn in 0..TURNS {
        for (pairs, total) in contenders.iter_mut().zip(&mut totals) {
            let counted = Total::of_turn(pairs).await;
            if turn > 0 {
                total.merge(counted);
            }
        }
    }
    totals
}

impl Total {
    async fn of_turn(pairs: &mut [Pair]) -> Self {
        let cpu = Cpu::now();
        let start = Instant::now();
        let chats = pairs.iter_mut().map(|pair| pair.chat_until(start + TURN));
        let mut delivered = Samples::default();
        for samples in join_all(chats).await {
            delivered.merge(samples);
        }
        Self {
            delivered,
            time: start.elapsed(),
            used: cpu.used_since(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.delivered.merge(other.delivered);
        self.time += other.time;
        self.used.merge(other.used);
    }

    /// Returns the messages that were received in a second.
    pub fn rate(&self) -> f64 {
        self.delivered.len() as f64 / self.time.as_secs_f64()
    }

    /// Returns the CPU time that processes of some roles used for a message, unless it is next to nothing:
    /// the programs that wait for their turn use some too.
    pub fn cpu_ms(&self, roles: &[Role]) -> Option<f64> {
        let used = self.used.of(roles) / self.delivered.len() as f64;
        (used > 0.05).then_some(used)
    }
}
