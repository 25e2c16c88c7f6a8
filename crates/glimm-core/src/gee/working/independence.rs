//! R = I.

use super::{Cluster, Moments, Room, Weighted, Working};

pub struct Independence;

impl Working for Independence {
    fn whiten(&self, _: &[f64], _: Cluster<'_>, _: &mut [f64], _: usize, _: &mut Room) -> bool {
        true
    }

    fn moments(&self, _: &[f64], _: Cluster<'_>, _: Weighted<'_>, _: &mut Moments) {}
}
