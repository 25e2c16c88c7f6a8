//! Where responses lie.

use crate::family::Family;

#[derive(Clone, Copy)]
pub(super) struct Support {
    pub whole: bool,
    pub low: f64,
    pub high: f64,
    pub low_in: bool,
}

impl Support {
    pub fn of(family: &dyn Family, size: f64) -> Support {
        let ok = |y: f64| family.check(y, size.max(2.0)).is_ok();
        let whole = !ok(0.5) && ok(1.0);
        let low = if ok(-1.0) { f64::NEG_INFINITY } else { 0.0 };
        let high = match (whole, ok(1e9)) {
            (_, true) => f64::INFINITY,
            (true, false) => size,
            (false, false) => 1.0,
        };
        Support { whole, low, high, low_in: ok(low.max(-1.0)) }
    }
}
