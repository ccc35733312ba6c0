//! What the operator asks of a node, and what its disk keeps of that.

use vipd::engine::{Answer, Input};

use crate::group::instance_name;
use crate::world::World;

impl World {
    pub(crate) fn hand_over(&mut self, node: usize) {
        let (request, instance) = (self.happenings, instance_name());
        self.ask(node, Input::Handover { request, instance, to: None });
    }

    /// The whole node.
    pub(crate) fn stand_by(&mut self, node: usize, force: bool) {
        let request = self.happenings;
        self.ask(node, Input::Standby { request, instance: None, force });
    }

    pub(crate) fn go_online(&mut self, node: usize) {
        let request = self.happenings;
        self.ask(node, Input::Online { request, instance: None });
    }

    /// Where no daemon runs, nobody listens.
    fn ask(&mut self, node: usize, request: Input) {
        if self.nodes[node].engine.is_some() {
            self.nodes[node].unanswered += 1;
            self.nodes[node].steady_since = self.now;
            self.input(node, request);
        }
    }

    /// The shell keeps what is out, on the disk. From then on the node has nothing.
    pub(crate) fn answered(&mut self, node: usize, answer: &Answer) {
        self.nodes[node].unanswered -= 1;
        self.nodes[node].steady_since = self.now;
        if let Answer::Standby(answer) = answer {
            let out = answer.standby.covers(&instance_name());
            self.nodes[node].standby = out;
        }
    }

    /// Notes the decision of an engine.
    pub(crate) fn note_answer(&mut self, node: usize, answer: &Answer) {
        if let Answer::Standby(answer) = answer {
            self.nodes[node].out = answer.standby.covers(&instance_name());
        }
    }

    pub(crate) fn must_not_be_on_standby(&mut self, node: usize) {
        if self.nodes[node].out {
            self.violation = Some(format!("node{node} is on standby and becomes active"));
        }
    }
}
