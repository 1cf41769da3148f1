//! The words of closed lists, as the reader knows them.

use portcullis_signals::Posture;

use super::{ACTIONS, limit, lists, test, values};
use crate::model::OnMissing;

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

pub(crate) fn over() -> Vec<&'static str> {
    names(&limit::DOING)
}

pub(crate) fn on_missing() -> Vec<&'static str> {
    names(&OnMissing::NAMED)
}

pub(crate) fn postures() -> Vec<&'static str> {
    Posture::ALL.map(Posture::name).to_vec()
}

pub(crate) fn clearances() -> Vec<&'static str> {
    names(&test::CLEARANCES)
}

pub(crate) fn on_bad_line() -> Vec<&'static str> {
    names(&lists::ON_BAD_LINE)
}
