//! The integral of a function with one hill, by panels that are halved where they need it.
//!
//! Each panel has the 15 nodes of Kronrod's extension of the 7-point Gauss rule; the difference of the two rules states
//! its error, by the formula of QUADPACK (Piessens et al. 1983, section 3.4.1).

use std::sync::LazyLock;

use crate::special::{exp, vectorized};

/// Non-negative nodes of Kronrod on [-1, 1], outermost first; every second one is Gauss's.
const NODES: [f64; 8] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_4,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_47,
    0.0,
];
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_224,
    0.063_092_092_629_978_55,
    0.104_790_010_322_250_18,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_83,
];
const GAUSS: [f64; 4] =
    [0.129_484_966_168_869_7, 0.279_705_391_489_276_67, 0.381_830_050_505_118_94, 0.417_959_183_673_469_4];
const ORDER: usize = 15;

/// Fall of the log integrand from its top, beyond what the tolerance needs, at which its tails are cut off.
const MARGIN: f64 = 5.0;
/// Distance of the first edges from the top.
const FIRST: f64 = 3.0;
/// Points that are looked at first.
const LADDER: [f64; 11] = [-24.0, -12.0, -7.5, -5.0, -2.5, 0.0, 2.5, 5.0, 7.5, 12.0, 24.0];
/// Doublings of a step that looks for a tail.
const DOUBLINGS: usize = 60;
/// Panels at most.
const MOST_PANELS: usize = 400;
/// Rounding of a sum, relative to the integral of the absolute value.
const ROUNDING: f64 = 50.0 * f64::EPSILON;

/// Log values at some points, each with something to keep.
pub type Integrand<'a, T> = &'a mut dyn FnMut(&[f64]) -> Vec<(f64, T)>;

/// A node with its log weight, the log integrand there, and what the integrand left with it.
pub struct Node<T> {
    pub x: f64,
    pub log_weight: f64,
    pub log_value: f64,
    pub kept: T,
}

/// An integral over a line.
pub struct Line<T> {
    pub nodes: Vec<Node<T>>,
    pub log_value: f64,
    /// Stated error of `log_value`.
    pub error: f64,
}

struct Panel<T> {
    nodes: [Node<T>; ORDER],
    from: f64,
    to: f64,
    value: f64,
    error: f64,
}

/// Integrates exp(f) over the line until the stated error of the log-integral is below `tolerance`. `f` gives its
/// value at each of some points, with something to keep; its top should be within a few units of zero. Panels begin
/// between points that double their distance from the top, so that a hill as wide as one unit cannot be missed.
pub fn line<T>(f: Integrand<'_, T>, tolerance: f64) -> Line<T> {
    let (edges, top) = bracket(f, MARGIN - tolerance.ln());
    let whole: Vec<[f64; 2]> = edges.windows(2).map(|e| [e[0], e[1]]).collect();
    let mut panels = evaluate(f, &whole, top);
    while panels.len() < MOST_PANELS {
        let (value, error) = sums(&panels);
        if error <= tolerance * value {
            break;
        }
        let share = (tolerance * value / panels.len() as f64).max(ROUNDING * value);
        let (rough, mut fine): (Vec<_>, Vec<_>) = panels.into_iter().partition(|p| p.error > share && p.can_halve());
        if rough.is_empty() {
            panels = fine;
            break;
        }
        let halves: Vec<[f64; 2]> = rough.iter().flat_map(|p| [[p.from, p.middle()], [p.middle(), p.to]]).collect();
        fine.extend(evaluate(f, &halves, top));
        panels = fine;
    }
    let (value, error) = sums(&panels);
    let nodes = panels.into_iter().flat_map(|p| p.nodes).collect();
    // The cut tails of a hill are below exp(-drop) of it.
    Line { nodes, log_value: top + value.ln(), error: error / value + tolerance * (-MARGIN).exp() }
}

impl<T> Panel<T> {
    fn middle(&self) -> f64 {
        0.5 * (self.from + self.to)
    }

    fn can_halve(&self) -> bool {
        self.from < self.middle() && self.middle() < self.to
    }
}

fn sums<T>(panels: &[Panel<T>]) -> (f64, f64) {
    panels.iter().fold((0.0, 0.0), |(v, e), p| (v + p.value, e + p.error))
}

/// Points from tail to tail, and the largest value seen. A few points about zero are enough where the hill is there.
fn bracket<T>(f: Integrand<'_, T>, drop: f64) -> (Vec<f64>, f64) {
    let values: Vec<f64> = f(&LADDER).into_iter().map(|v| v.0).collect();
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = |v: &f64| *v < top - drop;
    let first = values.iter().position(|v| !low(v)).unwrap_or(0);
    let last = values.iter().rposition(|v| !low(v)).unwrap_or(0);
    let known = values.iter().all(|v| !v.is_nan()) && values[first..=last].iter().all(|v| !low(v));
    if known && first > 0 && last + 1 < LADDER.len() {
        return (LADDER[first - 1..=last + 1].to_vec(), top);
    }
    search(f, drop)
}

/// The same by steps that double their length, from zero to the top and from there to the tails.
fn search<T>(f: Integrand<'_, T>, drop: f64) -> (Vec<f64>, f64) {
    let mut at = |x: f64| f(&[x])[0].0;
    let (mut best, mut top) = (0.0, at(0.0));
    for sign in [-1.0, 1.0] {
        let mut step = FIRST;
        for _ in 0..DOUBLINGS {
            let (x, value) = (best + sign * step, at(best + sign * step));
            if value.is_nan() || value <= top {
                break;
            }
            (best, top) = (x, value);
            step *= 2.0;
        }
    }
    let mut edges = vec![best];
    for sign in [-1.0, 1.0] {
        let mut step = FIRST;
        for _ in 0..DOUBLINGS {
            let (x, value) = (best + sign * step, at(best + sign * step));
            edges.push(x);
            top = top.max(value);
            if value.is_nan() || value < top - drop {
                break;
            }
            step *= 2.0;
        }
    }
    edges.sort_by(f64::total_cmp);
    (edges, top)
}

/// Panels over some intervals, with values relative to exp(top), all evaluated at once.
fn evaluate<T>(f: Integrand<'_, T>, intervals: &[[f64; 2]], top: f64) -> Vec<Panel<T>> {
    let x: Vec<f64> = intervals.iter().flat_map(|[from, to]| places(*from, *to)).collect();
    let mut found = f(&x).into_iter();
    let panels = intervals.iter().zip(x.chunks_exact(ORDER));
    panels.map(|([from, to], x)| panel([*from, *to], x, found.by_ref().take(ORDER), top)).collect()
}

/// Where node `i` of 15 stands among the non-negative ones.
fn place(i: usize) -> usize {
    i.min(ORDER - 1 - i)
}

fn places(from: f64, to: f64) -> [f64; ORDER] {
    let (center, half) = (0.5 * (from + to), 0.5 * (to - from));
    std::array::from_fn(|i| center + if i < ORDER / 2 { -half } else { half } * NODES[place(i)])
}

fn panel<T>([from, to]: [f64; 2], x: &[f64], mut found: impl Iterator<Item = (f64, T)>, top: f64) -> Panel<T> {
    static LOG_KRONROD: LazyLock<[f64; 8]> = LazyLock::new(|| KRONROD.map(f64::ln));
    let half = 0.5 * (to - from);
    let (log_half, log_kronrod) = (half.ln(), *LOG_KRONROD);
    let nodes: [Node<T>; ORDER] = std::array::from_fn(|i| {
        let (log_value, kept) = found.next().expect("a value for every node");
        Node { x: x[i], log_weight: log_half + log_kronrod[place(i)], log_value, kept }
    });
    let relative = |v: f64| if v.is_nan() { f64::NEG_INFINITY } else { v - top };
    let mut values: [f64; ORDER] = std::array::from_fn(|i| relative(nodes[i].log_value));
    vectorized(
        #[inline(always)]
        || values.iter_mut().for_each(|v| *v = exp(*v)),
    );
    let kronrod: f64 = (0..ORDER).map(|i| KRONROD[place(i)] * values[i]).sum();
    let gauss: f64 = (1..ORDER).step_by(2).map(|i| GAUSS[place(i) / 2] * values[i]).sum();
    let spread: f64 = (0..ORDER).map(|i| KRONROD[place(i)] * (values[i] - 0.5 * kronrod).abs()).sum();
    let difference = (kronrod - gauss).abs();
    let stated = if spread > 0.0 { spread * (200.0 * difference / spread).powf(1.5).min(1.0) } else { 0.0 };
    Panel { nodes, from, to, value: half * kronrod, error: half * stated.max(ROUNDING * kronrod) }
}
