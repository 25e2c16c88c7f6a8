//! Nodes of one group's integral, in the coordinates in which it is about standard normal.

use std::sync::Arc;

use crate::quadrature;

/// ln sqrt(2 pi).
pub const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// Nodes (node by effect) and log weights: the integral of g / sqrt(2 pi)^q is about sum_i exp(w_i) g(x_i).
#[derive(Clone, Debug)]
pub struct Points {
    pub effects: usize,
    pub x: Vec<f64>,
    pub log_weight: Vec<f64>,
}

impl Points {
    /// Products of Gauss-Hermite nodes.
    pub fn gauss(k: usize, effects: usize) -> Points {
        let (x, w) = quadrature::hermite(k);
        Points::product(&vec![(x, w); effects])
    }

    /// Products of nodes and log weights of every effect.
    pub fn product(rules: &[(Vec<f64>, Vec<f64>)]) -> Points {
        let mut points = Points { effects: rules.len(), x: Vec::new(), log_weight: Vec::new() };
        let count: usize = rules.iter().map(|(x, _)| x.len()).product();
        for node in 0..count {
            let (mut rest, mut log_weight) = (node, 0.0);
            for (x, w) in rules {
                points.x.push(x[rest % x.len()]);
                log_weight += w[rest % x.len()] - HALF_LN_TAU;
                rest /= x.len();
            }
            points.log_weight.push(log_weight);
        }
        points
    }

    pub fn len(&self) -> usize {
        self.log_weight.len()
    }

    /// Node `i`.
    pub fn at(&self, i: usize) -> &[f64] {
        &self.x[i * self.effects..(i + 1) * self.effects]
    }
}

/// Gauss-Hermite nodes by number per effect and number of effects, each kept once.
#[derive(Default)]
pub struct Shelf(Vec<((usize, usize), Arc<Points>)>);

impl Shelf {
    pub fn gauss(&mut self, k: usize, effects: usize) -> Arc<Points> {
        if let Some((_, points)) = self.0.iter().find(|(key, _)| *key == (k, effects)) {
            return points.clone();
        }
        let points = Arc::new(Points::gauss(k, effects));
        self.0.push(((k, effects), points.clone()));
        points
    }
}
