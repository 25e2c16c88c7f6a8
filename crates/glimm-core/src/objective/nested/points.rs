//! Nodes of one group's integral, in the coordinates in which it is about standard normal.

use std::sync::Arc;

use crate::quadrature;

/// ln sqrt(2 pi).
pub const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// Nodes (effect by node) and log weights: the integral of g / sqrt(2 pi)^q is about sum_i exp(w_i) g(x_i).
#[derive(Clone, Debug)]
pub struct Points {
    x: Vec<f64>,
    pub log_weight: Vec<f64>,
}

impl Points {
    /// Nodes of one effect.
    pub fn new(x: Vec<f64>, log_weight: Vec<f64>) -> Points {
        Points { x, log_weight }
    }

    /// Products of Gauss-Hermite nodes.
    pub fn gauss(k: usize, effects: usize) -> Points {
        let (x, w) = quadrature::hermite(k);
        let digit = |node: usize, effect: usize| node / k.pow(effect as u32) % k;
        let nodes = || 0..k.pow(effects as u32);
        let log_weight = |node| (0..effects).map(|e| w[digit(node, e)] - HALF_LN_TAU).sum();
        Points {
            x: (0..effects).flat_map(|e| nodes().map(move |node| (node, e))).map(|(n, e)| x[digit(n, e)]).collect(),
            log_weight: nodes().map(log_weight).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.log_weight.len()
    }

    /// Effect `e` of all nodes.
    pub fn x(&self, e: usize) -> &[f64] {
        &self.x[e * self.len()..(e + 1) * self.len()]
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
