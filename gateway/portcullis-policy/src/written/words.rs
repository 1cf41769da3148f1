//! The words of closed lists, as the reader knows them.

use super::{ACTIONS, lists, route, test, values};

fn names<T, const N: usize>(known: &[(&'static str, T); N]) -> Vec<&'static str> {
    known.iter().map(|(name, _)| *name).collect()
}

pub(crate) fn modes() -> Vec<&'static str> {
    names(&values::MODES)
}

pub(crate) fn sensitivities() -> Vec<&'static str> {
    names(&values::SENSITIVITIES)
}

pub(crate) fn clients() -> Vec<&'static str> {
    names(&values::CLIENTS)
}

pub(crate) fn ambiguous() -> Vec<&'static str> {
    names(&values::AMBIGUOUS)
}

pub(crate) fn toggles() -> Vec<&'static str> {
    names(&values::TOGGLES)
}

pub(crate) fn actions() -> Vec<&'static str> {
    names(&ACTIONS)
}

pub(crate) fn counts() -> Vec<&'static str> {
    names(&route::COUNTS)
}

pub(crate) fn over() -> Vec<&'static str> {
    names(&route::OVER)
}

pub(crate) fn clearances() -> Vec<&'static str> {
    names(&test::CLEARANCES)
}

pub(crate) fn on_bad_line() -> Vec<&'static str> {
    names(&lists::ON_BAD_LINE)
}
