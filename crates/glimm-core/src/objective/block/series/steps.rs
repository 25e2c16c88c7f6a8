//! The steps of a Markov chain at given parameters, with their derivatives.

use crate::structure::{Dual, Step, Structure};

/// Coefficients of one effect in s_t = r s_(t-1) + f u_t, b_t = c s_t, with r^2, f^2 and c^2; or a derivative of these.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coefficients {
    pub r: f64,
    pub f: f64,
    pub c: f64,
    pub rr: f64,
    pub ff: f64,
    pub cc: f64,
}

pub struct Steps {
    pub at: Vec<Coefficients>,
    /// Derivatives in each parameter.
    pub first: Vec<Vec<Coefficients>>,
    /// Second derivatives in parameters i >= j, pair after pair, if asked for.
    pub second: Vec<Vec<Coefficients>>,
}

impl Steps {
    /// `None` where the structure is no Markov chain.
    pub fn new(structure: &dyn Structure, theta: &[f64], curved: bool) -> Option<Steps> {
        let m = theta.len();
        let along = |i: usize, j: usize| -> Option<Vec<[Dual; 6]>> {
            let all = |s: Step<Dual>| {
                let Step { carry: r, fresh: f, scale: c } = s;
                [r, f, c, r * r, f * f, c * c]
            };
            Some(structure.steps(theta, i, j)?.into_iter().map(all).collect())
        };
        let pick = |steps: &[[Dual; 6]], of: fn(&Dual) -> f64| -> Vec<Coefficients> {
            let one = |step: &[Dual; 6]| {
                let [r, f, c, rr, ff, cc] = step.each_ref().map(of);
                Coefficients { r, f, c, rr, ff, cc }
            };
            steps.iter().map(one).collect()
        };
        let mut steps = Steps { at: pick(&along(0, 0)?, |x| x.value), first: Vec::new(), second: Vec::new() };
        for i in 0..m {
            steps.first.push(pick(&along(i, i)?, |x| x.one));
            for j in (0..=i).filter(|_| curved) {
                steps.second.push(pick(&along(i, j)?, |x| x.both));
            }
        }
        Some(steps)
    }

    /// Second derivatives in parameters i >= j.
    pub fn second(&self, i: usize, j: usize) -> &[Coefficients] {
        &self.second[i * (i + 1) / 2 + j]
    }
}
