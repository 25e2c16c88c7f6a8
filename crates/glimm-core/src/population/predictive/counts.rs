//! Quantiles of many counts whose predictors differ in eta and sd alone.
//!
//! The least y with F(y; eta, sd) >= p is y or less where eta is at most a threshold h_y(sd), since F falls in eta. Rows
//! are parted by the curves h_y, as in a search by halves; beyond [`ONE_BY_ONE`] counts, h_y itself is interpolated
//! between some of them. Rows nearer to a threshold than the curve's error are left to the exact search.

use rayon::prelude::*;

use super::Line;
use super::chebyshev::{self, place};
use super::curve::Curve;
use super::mixture::score;
use super::pieces::Pieces;
use super::rule::{Rule, turn};
use crate::special::normal_quantile;

/// Fewest rows that are worth a curve.
const FEW: usize = 8;
/// Fewest rows that are worth a sheet of curves, and fewest counts between its ends.
const MANY: usize = 1024;
const ONE_BY_ONE: f64 = 48.0;
/// Curves of a sheet.
const CURVES: usize = 14;
const MOST_STEPS: usize = 100;
/// Error of a threshold in units of the normal score.
const TOLERANCE: f64 = 1e-10;
/// Bounds of where a curve bends.
const BEND: [f64; 2] = [1e-6, 10.0];
/// How far beyond the rows a threshold is sought, in standard deviations and in units of eta.
const BEYOND: [f64; 2] = [12.0, 30.0];
/// Linear predictors at which F is tried for falling in eta, and what it may rise by rounding.
const TRIES: usize = 48;
const ROUNDING: f64 = 1e-11;

/// Rows with their places in the whole.
type Rows = Vec<u32>;
type Found = Vec<(u32, f64)>;

struct Search<'a> {
    line: &'a Line<'a>,
    eta: &'a [f64],
    sd: &'a [f64],
    p: f64,
    /// Between which linear predictors thresholds are sought.
    range: [f64; 2],
}

/// The quantile p of each row; NaN where only the exact search can tell.
pub(super) fn quantiles(line: &Line<'_>, eta: &[f64], sd: &[f64], p: f64) -> Vec<f64> {
    let mut out = vec![f64::NAN; eta.len()];
    let most = sd.iter().copied().fold(0.0, f64::max);
    let far = BEYOND[0].mul_add(most, BEYOND[1]);
    let ends = eta.iter().fold([f64::MAX, f64::MIN], |[a, b], &e| [a.min(e), b.max(e)]);
    let search = Search { line, eta, sd, p, range: [ends[0] - far, ends[1] + far] };
    if search.falls([ends[0] - 8.0 * most, ends[1] + 8.0 * most]) {
        let rows = (0..eta.len() as u32).collect();
        for (row, y) in search.descend(rows, line.support.low - 1.0, line.support.high) {
            out[row as usize] = y;
        }
    }
    out
}

impl Search<'_> {
    /// Whether F(y | eta) falls in eta as far as can be seen.
    fn falls(&self, [low, high]: [f64; 2]) -> bool {
        let mut y = 0.0;
        let mut etas: Vec<f64> = chebyshev::points(TRIES, [low, high]);
        etas.extend([low, high]);
        etas.sort_by(f64::total_cmp);
        while y < self.line.support.high && y < 1e12 {
            let f: Vec<f64> = etas.iter().map(|&eta| self.line.mixture(eta, 0.0).cdf(y)).collect();
            if !f.windows(2).all(|pair| pair[1] <= pair[0] + ROUNDING) {
                return false;
            }
            if f.iter().all(|&f| f > 1.0 - 1e-9) {
                break;
            }
            y = 4.0 * y + 1.0;
        }
        true
    }

    /// Quantiles of rows known to lie in (low, high].
    fn descend(&self, rows: Rows, low: f64, high: f64) -> Found {
        if high - low <= 1.0 {
            return rows.into_iter().map(|row| (row, high)).collect();
        }
        if rows.len() < FEW {
            return Vec::new();
        }
        let wide = high.is_finite() && high - low > ONE_BY_ONE && self.amid(low, high);
        if wide
            && rows.len() >= MANY
            && let Some(found) = self.by_sheet(&rows, low, high)
        {
            return found;
        }
        let y = self.middle(low, high);
        let curve = self.curve(&rows, y);
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for row in rows {
            let (h, error) = curve.at(self.sd[row as usize]);
            let eta = self.eta[row as usize];
            if eta <= h - error {
                below.push(row)
            } else if eta > h + error {
                above.push(row)
            }
        }
        let (mut found, more) = rayon::join(|| self.descend(below, low, y), || self.descend(above, y, high));
        found.extend(more);
        found
    }

    /// Whether the ends of the support are as far from an interval as it is long, so that thresholds are smooth there.
    fn amid(&self, low: f64, high: f64) -> bool {
        let support = self.line.support;
        low - support.low >= 0.9 * (high - low) && support.high - high >= 0.9 * (high - low)
    }

    /// Where to part: the middle, or twice as far from the nearer end of the support.
    fn middle(&self, low: f64, high: f64) -> f64 {
        if high == self.line.support.high {
            return low + (low + 1.0 - self.line.support.low).min((0.5 * (high - low)).floor()).max(1.0);
        }
        (0.5 * (low + high)).floor()
    }

    fn ends(&self, rows: &Rows) -> [f64; 2] {
        let sds = rows.iter().map(|&row| self.sd[row as usize]);
        sds.fold([f64::MAX, 0.0], |[a, b], s| [a.min(s), b.max(s)])
    }

    fn curve(&self, rows: &Rows, y: f64) -> Curve {
        let [first, last] = self.range;
        let ends = self.ends(rows);
        let given = Pieces::new([first, last], &|eta| self.line.mixture(eta, 0.0).cdf(y));
        let (center, bend) = self.guess(y);
        Curve::new(ends, bend, &|sd, guess| {
            let guess = guess.unwrap_or_else(|| center - normal_quantile(self.p) * sd.hypot(bend));
            self.threshold(&given, sd, guess, bend)
        })
    }

    /// The eta with F(y; eta, sd) = p, given F(y | eta); infinite where F is on one side of p all along.
    fn threshold(&self, given: &Pieces, sd: f64, guess: f64, bend: f64) -> f64 {
        let z = normal_quantile(self.p);
        let [first, last] = self.range;
        let at = guess.clamp(first, last);
        let rule = Rule::fitting(given.scale, sd);
        let off = |eta: f64| z - score(given.sum(rule, eta, sd));
        let mut step = 0.02 * sd.hypot(bend);
        let mut low = (at, off(at));
        let mut high = low;
        while low.1 > 0.0 {
            if low.0 <= first {
                return f64::NEG_INFINITY;
            }
            high = low;
            let at = (low.0 - step).max(first);
            low = (at, off(at));
            step *= 3.0;
        }
        while high.1 < 0.0 {
            if high.0 >= last {
                return f64::INFINITY;
            }
            low = high;
            let at = (high.0 + step).min(last);
            high = (at, off(at));
            step *= 3.0;
        }
        root(low, high, off)
    }

    /// About where the mean is y, and by how much eta moves it by one spread there.
    fn guess(&self, y: f64) -> (f64, f64) {
        let size = if self.line.support.high.is_finite() { self.line.size + 0.5 } else { 1.0 };
        let guess = self.line.family.link().link((y + 0.7) / size);
        let center = if guess.is_finite() { guess } else { 0.5 * (self.range[0] + self.range[1]) };
        let turn = turn(self.line.family, self.line.size, |t| self.line.predictors(center + t), 0.0);
        (center, (1.0 / turn).clamp(BEND[0], BEND[1]))
    }

    /// Quantiles of rows in (low, high] by curves at some of the counts; `None` where these do not tell of the others.
    fn by_sheet(&self, rows: &Rows, low: f64, high: f64) -> Option<Found> {
        let ys: Vec<f64> = chebyshev::points(CURVES, [low, high]).iter().map(|y| y.round()).collect();
        let curves: Vec<Curve> = ys.par_iter().map(|&y| self.curve(rows, y)).collect();
        let sheet = Sheet { ends: [low, high], basis: basis(&ys, [low, high]), curves };
        let error = self.sheet_error(&sheet, rows)?;
        let one = |&row: &u32| {
            let y = sheet.count(self.eta[row as usize], self.sd[row as usize], error)?;
            Some((row, y))
        };
        Some(rows.par_iter().with_min_len(MANY).filter_map(one).collect())
    }

    /// What the sheet may be off between its curves, from what it is at the places of some rows.
    fn sheet_error(&self, sheet: &Sheet, rows: &Rows) -> Option<f64> {
        let [low, high] = sheet.ends;
        let mut worst: f64 = 0.0;
        for (i, share) in [0.0, 0.05, 0.35, 0.62, 0.96, 1.0].iter().enumerate() {
            let row = rows[i * (rows.len() - 1) / 5];
            let y = (share * (high - low) + low).round();
            let (coefficients, _) = sheet.across(self.sd[row as usize]);
            let table = chebyshev::value(&coefficients, place(y, sheet.ends));
            let (h, _) = self.curve(&vec![row], y).at(self.sd[row as usize]);
            worst = worst.max((table - h).abs());
        }
        (worst < 1e-6).then_some(20.0 * worst)
    }
}

/// The root between two points, by false position, halved when one end stays (Dowell and Jarratt 1971, BIT 11, 168-174).
fn root(mut low: (f64, f64), mut high: (f64, f64), off: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..MOST_STEPS {
        if high.1 <= 0.0 || high.0 - low.0 <= 1e-13 * (1.0 + low.0.abs()) {
            break;
        }
        let at = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let at = if at > low.0 && at < high.0 { at } else { 0.5 * (low.0 + high.0) };
        let f = off(at);
        if f.abs() < TOLERANCE {
            return at;
        }
        if f < 0.0 {
            (low, high) = ((at, f), (high.0, 0.5 * high.1));
        } else {
            (high, low) = ((at, f), (low.0, 0.5 * low.1));
        }
    }
    high.0
}

/// Thresholds as polynomials in y.
struct Sheet {
    ends: [f64; 2],
    curves: Vec<Curve>,
    basis: Vec<[f64; CURVES]>,
}

impl Sheet {
    /// The coefficients at one sd, and the error of the curves.
    fn across(&self, sd: f64) -> ([f64; CURVES], f64) {
        let (mut out, mut worst) = ([0.0; CURVES], 0.0f64);
        for (curve, weights) in self.curves.iter().zip(&self.basis) {
            let (h, error) = curve.at(sd);
            worst = worst.max(error);
            for (out, w) in out.iter_mut().zip(weights) {
                *out += h * w;
            }
        }
        (out, worst)
    }

    /// The least y whose threshold is not below eta; `None` too near to one.
    fn count(&self, eta: f64, sd: f64, error: f64) -> Option<f64> {
        let (coefficients, worst) = self.across(sd);
        let error = error + worst;
        let h = |y: f64| chebyshev::value(&coefficients, place(y, self.ends));
        let ([mut low, mut high], mut off) = (self.ends, [h(self.ends[0]) - eta, h(self.ends[1]) - eta]);
        let mut turn = 0;
        while high - low > 1.0 {
            // Nearly straight, so that a few steps by the chord suffice; a half now and then for certain.
            let chord = low + (high - low) * (off[0] / (off[0] - off[1]));
            let at = if turn % 3 == 2 { 0.5 * (low + high) } else { chord };
            let at = if turn % 2 == 0 { at.ceil() } else { at.floor() }.clamp(low + 1.0, high - 1.0);
            if !at.is_finite() {
                return None;
            }
            let f = h(at) - eta;
            if f >= 0.0 {
                (high, off[1]) = (at, f)
            } else {
                (low, off[0]) = (at, f)
            }
            turn += 1;
        }
        // At the ends the curves have told already.
        let clear = (off[0] < -error || low == self.ends[0]) && (off[1] > error || high == self.ends[1]);
        clear.then_some(high)
    }
}

/// By points: the Chebyshev coefficients of the polynomial that is 1 there and 0 at the others.
fn basis(points: &[f64], ends: [f64; 2]) -> Vec<[f64; CURVES]> {
    let resampled = chebyshev::points(CURVES, ends);
    let one = |&own: &f64| {
        let others = |x: f64| points.iter().filter(|&&y| y != own).map(|y| (x - y) / (own - y)).product();
        let values: Vec<f64> = resampled.iter().map(|&x| others(x)).collect();
        let found = chebyshev::coefficients(&values);
        std::array::from_fn(|j| found[j])
    };
    points.iter().map(one).collect()
}
