//! Looks through all states of a world, and tells the story of one in which a rule is broken.

use std::any::Any;
use std::env;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};
use vipd::time::Span;

use crate::daemon::Daemon;
use crate::moves::Move;
use crate::rules::Rule;
use crate::setup::{Plan, Setup};
use crate::world::World;

/// For how long a shorter story than the first one is looked for.
const SHORTENING: Duration = Duration::from_secs(120);

struct Explorer<D> {
    setup: Setup,
    daemon: PhantomData<fn() -> D>,
}

impl<D: Daemon> Model for Explorer<D> {
    type State = World<D>;
    type Action = Move;

    fn init_states(&self) -> Vec<World<D>> {
        vec![beginning(&self.setup)]
    }

    fn actions(&self, state: &World<D>, moves: &mut Vec<Move>) {
        state.moves(&self.setup, moves);
    }

    fn next_state(&self, state: &World<D>, what: Move) -> Option<World<D>> {
        let step = AssertUnwindSafe(|| state.step(&self.setup, what));
        catch_unwind(step).unwrap_or_else(|panic| {
            let mut next = state.clone();
            next.judge.broken = Some((Rule::Panic, panic_text(&*panic)));
            Some(next)
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! properties {
            ($($rule:ident),*) => {
                vec![$(Property::always(Rule::$rule.words(), |_, state: &World<D>| {
                    !matches!(state.judge.broken, Some((Rule::$rule, _)))
                })),*]
            };
        }
        properties!(TwoOwners, Lease, Countdown, Planned, Refused, Pause, Panic)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// The world once all is settled, and long after.
fn beginning<D: Daemon>(setup: &Setup) -> World<D> {
    let mut world = World::new(setup);
    let settled = world.now + setup.countdown() + Span::from_secs(20);
    while world.now < settled && world.judge.broken.is_none() {
        let mut moves = Vec::new();
        world.what_comes_by_itself(&mut moves);
        world = moves
            .first()
            .and_then(|first| world.step(setup, *first))
            .expect("a world that goes on");
    }
    world
}

/// Looks through all states. `VIPD_MODEL_FAULTS=N` has another number of faults,
/// `VIPD_MODEL_SECONDS=N` looks no longer than that.
pub(crate) fn explore<D: Daemon>(plan: Plan) {
    let faults = number("VIPD_MODEL_FAULTS").map_or(plan.faults, |faults| faults as u8);
    let plan = Plan { faults, ..plan };
    // A panic is a state in which a rule is broken, and told as such.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = look_through::<D>(plan);
    panic::set_hook(hook);
    if let Err(story) = outcome {
        panic!("{}: {story}", plan.name);
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn look_through<D: Daemon>(plan: Plan) -> Result<(), String> {
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, Into::into);
    let limit = number("VIPD_MODEL_SECONDS").map_or(Duration::MAX, Duration::from_secs);
    let mut builder = model::<D>(plan).threads(threads);
    if limit < Duration::MAX {
        builder = builder.timeout(limit);
    }
    let checker = builder.spawn_dfs().join();
    println!(
        "{}, faults: {}; {} states, {} of them different, up to {} steps deep, {:.1} s{}",
        plan.name,
        plan.faults,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
        if started.elapsed() < limit { "" } else { ": not all of them" },
    );
    let Some((rule, path)) = checker.discoveries().into_iter().next() else { return Ok(()) };
    let shorter = model::<D>(plan).timeout(SHORTENING).spawn_bfs().join();
    let shortest = shorter.discoveries().into_iter().next();
    let (rule, path) = shortest.unwrap_or((rule, path));
    Err(format!("not so: {rule}\n{}", story::<D>(plan, path.into_actions())))
}

fn model<D: Daemon>(plan: Plan) -> stateright::CheckerBuilder<Explorer<D>> {
    let explorer = Explorer::<D> { setup: Setup::new(plan), daemon: PhantomData };
    explorer.checker().finish_when(HasDiscoveries::AnyFailures)
}

/// What happens on a way through the states, for people.
fn story<D: Daemon>(plan: Plan, moves: Vec<Move>) -> String {
    let setup = Setup::new(plan);
    let mut world = beginning::<D>(&setup);
    world.told = Some(Vec::new());
    for what in moves {
        let step = AssertUnwindSafe(|| world.step(&setup, what));
        match catch_unwind(step) {
            Ok(Some(next)) => world = next,
            Ok(None) => {}
            Err(panic) => {
                world.tell(0, &format!("{what}: {}", panic_text(&*panic)));
                break;
            }
        }
    }
    let broken = world.judge.broken.map(|(_, what)| what).unwrap_or_default();
    let told = world.told.unwrap_or_default();
    format!("{}\n=> {broken}", told.join("\n"))
}
