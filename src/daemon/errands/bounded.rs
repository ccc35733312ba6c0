//! An end to everything that is waited for.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::time::timeout_at;

use crate::daemon::outside::Doing;
use crate::engine::ProbeResult;
use crate::time::Span;

/// A look or a hook that ends, and whose own mistakes are no more than a failure of this one.
pub(super) async fn bounded(
    looking: impl Future<Output = ProbeResult>,
    timeout: Span,
    until: Instant,
    doing: &Doing,
) -> ProbeResult {
    let looking = AssertUnwindSafe(looking).catch_unwind();
    // What is not finished at the end of this statement is dropped, which stops it.
    let looked = timeout_at(until.into(), looking).await;
    let doing = doing.take();
    match looked {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            ProbeResult::Failed(format!("vipd itself broke here: {}", words(panic.as_ref())))
        }
        Err(_) => {
            let doing = if doing.is_empty() { doing } else { format!(" ({doing})") };
            ProbeResult::Failed(format!("no answer within {timeout}{doing}"))
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn looked(looking: impl Future<Output = ProbeResult>, doing: &Doing) -> ProbeResult {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = Instant::now() + Duration::from_millis(30);
        runtime.block_on(bounded(looking, Span::from_millis(30), until, doing))
    }

    /// Rule: a mistake of ours in a look fails that look, with what it says.
    #[test]
    fn a_panic_is_a_failed_look() {
        let result = looked(async { panic!("no {}", "luck") }, &Doing::default());
        assert_eq!(result, ProbeResult::Failed("vipd itself broke here: no luck".to_owned()));
    }

    /// Rule: a look that is too late says what it waited for last, also where it says so when it is
    /// stopped; the next one does not.
    #[test]
    fn a_late_look_says_what_it_waited_for() {
        let doing = Doing::default();
        doing.set("connecting");
        let result = looked(std::future::pending(), &doing);
        let expected = ProbeResult::Failed("no answer within 30 ms (connecting)".to_owned());
        assert_eq!(result, expected);
        let result = looked(std::future::pending(), &doing);
        assert_eq!(result, ProbeResult::Failed("no answer within 30 ms".to_owned()));
    }

    /// Rule: whatever a panic carries, there is something to say.
    #[test]
    fn a_panic_has_words() {
        assert_eq!(words(&"one"), "one");
        assert_eq!(words(&"two".to_owned()), "two");
        assert_eq!(words(&3), "it does not say why");
    }
}
