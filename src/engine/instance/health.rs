//! What the checks make of an instance: whether it takes part, and with which priority.

use super::super::event::Action;
use super::super::story::{Fault, Lowered, TrackFailure, What};
use super::{Context, Instance};
use crate::model::{IfAllFail, Priority};
use crate::vrrp::router::{Outcome, Settings};

/// What follows from the checks of an instance.
pub(super) struct Judgement {
    /// They keep it from taking part.
    pub(super) fault: Option<Fault>,
    /// Otherwise it takes part with this priority.
    pub(super) priority: Priority,
    /// Why that is not its own.
    pub(super) lowered: Option<Lowered>,
}

impl Instance {
    /// What the checks say now.
    pub(super) fn judge(&self, context: &Context<'_>) -> Judgement {
        let health = context.tracks.health(&self.config.tracks);
        let own = self.config.priority;
        let keeps = self.config.if_all_fail == IfAllFail::Keep;
        match health.failing {
            // Before it has ever passed, nothing is known: a node that starts claims nothing.
            Some((track, failure)) if keeps && failure != TrackFailure::Untried => Judgement {
                fault: None,
                priority: own.last_resort(),
                lowered: Some(Lowered::LastResort(track, failure)),
            },
            Some((track, failure)) => Judgement {
                fault: Some(Fault::TrackFailing(track, failure)),
                priority: own,
                lowered: None,
            },
            None => {
                let lowest = if keeps { Priority::LOWEST_HEALTHY } else { Priority::LOWEST };
                let costs = health.costs.iter().map(|(_, cost)| u32::from(*cost)).sum();
                let lowered = (!health.costs.is_empty()).then_some(Lowered::Costs(health.costs));
                Judgement { fault: None, priority: own.lowered(costs, lowest), lowered }
            }
        }
    }

    /// What the election depends on, checks included.
    pub(super) fn settings(&self, context: &Context<'_>) -> Settings {
        Settings { priority: self.judge(context).priority, ..Settings::from(&self.config) }
    }

    /// Takes part with the priority that the checks leave it. The others hear of it at once, so
    /// that a better one can take over, and does so before this one lets go.
    pub(super) fn set_priority(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let judgement = self.judge(context);
        self.lowered = judgement.lowered;
        let from = self.router.priority();
        if from == judgement.priority {
            return;
        }
        let advertise = self.router.set_priority(context.now.mono, judgement.priority);
        if self.life.takes_part() {
            let (to, why) = (judgement.priority, self.lowered.clone());
            self.report(What::Reprioritized { from, to, why }, out);
        }
        if advertise {
            self.follow(context, Outcome::Advertise, out);
        }
    }
}
