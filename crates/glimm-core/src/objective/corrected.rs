//! A cheap objective for all groups, corrected by a better one on a sample of them (a control variate):
//!
//! ```text
//! L(psi) = L_cheap(all) + w sum over the sample of (L_better - L_cheap),     w = groups / groups of the sample
//! ```

use std::sync::Arc;

use rayon::prelude::*;

use super::{Evaluation, Objective, Order, Posterior, Reject, Units};
use crate::control::Control;

/// Some groups of the sample, by both rules.
pub struct Batch {
    pub better: Box<dyn Units>,
    pub cheap: Box<dyn Units>,
}

pub struct Corrected<'a> {
    pub all: &'a mut dyn Units,
    pub batches: Vec<Batch>,
    /// Groups that one of the sample stands for.
    pub weight: f64,
}

impl Batch {
    /// What the better rule adds.
    fn difference(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let mut difference = self.better.evaluate(psi, order, tolerance)?;
        let cheap = self.cheap.evaluate(psi, order, tolerance)?;
        add(&mut difference, -1.0, &cheap);
        Ok(difference)
    }
}

/// sum += times other.
pub fn add(sum: &mut Evaluation, times: f64, other: &Evaluation) {
    sum.value += times * other.value;
    sum.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += times * b);
    if let (Some(a), Some(b)) = (&mut sum.hessian, &other.hessian) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += times * b);
    }
}

impl Corrected<'_> {
    /// What the better rule adds, batch by batch.
    pub fn differences(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Vec<Evaluation>, Reject> {
        self.batches.par_iter_mut().map(|batch| batch.difference(psi, order, tolerance)).collect()
    }

    fn each(&mut self, mut work: impl FnMut(&mut dyn Objective)) {
        work(self.all.as_objective());
        for batch in &mut self.batches {
            work(batch.better.as_objective());
            work(batch.cheap.as_objective());
        }
    }
}

impl Objective for Corrected<'_> {
    fn evaluate(&mut self, psi: &[f64], order: Order, tolerance: f64) -> Result<Evaluation, Reject> {
        let mut sum = self.all.evaluate(psi, order, tolerance)?;
        self.differences(psi, order, tolerance)?.iter().for_each(|d| add(&mut sum, self.weight, d));
        Ok(sum)
    }

    fn accept(&mut self) {
        self.each(|o| o.accept());
    }

    fn information(&mut self) -> Option<Vec<f64>> {
        None
    }

    fn reset(&mut self) {
        self.each(|o| o.reset());
    }

    fn set_control(&mut self, control: &Arc<Control>) {
        self.each(|o| o.set_control(control));
    }

    fn passes(&self) -> f64 {
        self.all.passes()
    }

    fn posterior(&self) -> Posterior {
        self.all.posterior()
    }
}
