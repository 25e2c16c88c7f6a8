//! Log densities against their own sums, moments, distribution functions and draws.

use super::points::{Support, points};
use super::{all, label, moderate, rows};
use glimm_core::family::{Family, Random};
use rand::SeedableRng;

/// Sums of densities over all counts, or integrals by a rule that is exact to rounding.
const SUM_TOLERANCE: f64 = 1e-11;
/// Both tails of the distribution function, relative.
const TAIL_TOLERANCE: f64 = 1e-9;
/// Draws may miss by this many standard errors.
const STANDARD_ERRORS: f64 = 4.5;
const TRIALS: f64 = 13.0;
/// No count beyond this one has a probability to speak of.
const MOST: u16 = 4000;

fn support(f: &dyn Family) -> Support {
    points(f).support
}

fn trials(f: &dyn Family) -> f64 {
    if support(f) == Support::Trials { TRIALS } else { 1.0 }
}

fn is_discrete(f: &dyn Family) -> bool {
    support(f).is_discrete()
}

/// The trapezoidal rule after a change of variable, which has no error to speak of for such functions:
/// (x, h) for |x| <= reach.
fn steps(low: f64, high: f64) -> impl Iterator<Item = (f64, f64)> {
    let h = 0.02;
    let count = ((high - low) / h) as i32;
    (0..=count).map(move |i| (low + h * f64::from(i), h))
}

/// Responses with the weights that make sums of densities integrals. A response that has a probability of its own
/// weighs 1.
fn grid(f: &dyn Family, eta: &[f64]) -> Vec<(f64, f64)> {
    let mass = |y: f64, there: bool| there.then_some((y, 1.0));
    // y = mean exp(x): the lower tail of a small shape reaches far down
    let positive = || steps(-800.0, 30.0).map(|(x, h)| f.mean(eta) * x.exp() * h).map(|w| (w / 0.02, w));
    match support(f) {
        Support::Counts { least } => (least..MOST).map(|y| (f64::from(y), 1.0)).collect(),
        Support::Trials => (0..=TRIALS as u16).map(|y| (f64::from(y), 1.0)).collect(),
        Support::Real => {
            let (mean, sd) = (f.mean(eta), f.variance(eta, 1.0).sqrt());
            steps(-35.0, 35.0).map(|(x, h)| (sd.mul_add(x.sinh(), mean), sd * x.cosh() * h)).collect()
        }
        Support::Positive => positive().collect(),
        Support::NonNegative => mass(0.0, true).into_iter().chain(positive()).collect(),
        Support::Proportion { zero, one } => {
            // y = logistic(x); doubles have no more room at 1
            let (low, high) = (-700.0, 36.0);
            let inner = steps(low, high).map(|(x, h)| (1.0 / (1.0 + (-x).exp()), h / (2.0 + 2.0 * x.cosh())));
            mass(0.0, zero).into_iter().chain(inner).chain(mass(1.0, one)).collect()
        }
    }
}

/// (response, probability weight) over the grid.
fn weights(f: &dyn Family, eta: &[f64]) -> Vec<(f64, f64)> {
    let grid = grid(f, eta);
    let y: Vec<f64> = grid.iter().map(|g| g.0).collect();
    let values = rows(f, &y, trials(f), eta, 1);
    let density = |i: usize| (values.value()[i] + f.log_constant(y[i], trials(f))).exp();
    (0..y.len()).map(|i| (y[i], grid[i].1 * density(i))).collect()
}

#[test]
fn densities_sum_to_one_with_the_stated_mean_and_variance() {
    for f in all() {
        for eta in moderate(&*f) {
            let w = weights(&*f, &eta);
            let moment = |g: &dyn Fn(f64) -> f64| w.iter().map(|(y, p)| g(*y) * p).sum::<f64>();
            let at = format!("{} {eta:?}", label(&*f));
            assert!((moment(&|_| 1.0) - 1.0).abs() <= SUM_TOLERANCE, "{at}");
            // proportions for a binomial
            let n = trials(&*f);
            let mean = moment(&|y| y / n);
            assert!((mean - f.mean(&eta)).abs() <= SUM_TOLERANCE * mean.abs().max(1.0), "{at}");
            let variance = moment(&|y| (y / n - mean) * (y / n - mean));
            let stated = f.variance(&eta, n);
            assert!((variance - stated).abs() <= 10.0 * SUM_TOLERANCE * stated, "{at}");
        }
    }
}

#[test]
fn distribution_functions_are_sums_of_densities_in_both_tails() {
    for f in all().iter().filter(|f| is_discrete(&***f)) {
        for eta in moderate(&**f) {
            let w = weights(&**f, &eta);
            for cut in [0, 1, 4, 9, 12, 13, 25, 60] {
                if cut >= w.len() {
                    continue;
                }
                let below: f64 = w[..=cut].iter().map(|v| v.1).sum();
                let above: f64 = w[cut + 1..].iter().rev().map(|v| v.1).sum();
                let (lower, upper) = f.cdf(w[cut].0, trials(&**f), &eta);
                let at = format!("{} {eta:?} {cut}: {lower:e} {upper:e} {below:e} {above:e}", label(&**f));
                assert!((lower - below).abs() <= TAIL_TOLERANCE * below, "{at}");
                assert!((upper - above).abs() <= TAIL_TOLERANCE * above + 1e-300, "{at}");
            }
            let below = f64::from(support(&**f).least_count()) - 1.0;
            assert_eq!(f.cdf(below, trials(&**f), &eta), (0.0, 1.0));
        }
    }
}

#[test]
fn distribution_functions_are_integrals_of_densities() {
    for f in all().iter().filter(|f| !is_discrete(&***f)) {
        for eta in moderate(&**f) {
            let grid = grid(&**f, &eta);
            let (mut sum, mut last) = (0.0, 0.0);
            for (i, ((y, p), (_, weight))) in weights(&**f, &eta).into_iter().zip(grid).enumerate() {
                let next = sum + p;
                // the trapezoidal rule up to a node counts half of it; its error is then h^2 / 12 f'
                let expected = if weight == 1.0 { next } else { 0.5 * (sum + next) };
                let due = expected - last > 0.03 && 1.0 - expected > 0.05;
                if (i % 1000 == 0 && sum > 1e-12) || due || weight == 1.0 {
                    last = expected;
                    let (lower, upper) = f.cdf(y, 1.0, &eta);
                    let at = format!("{} {eta:?} {y}", label(&**f));
                    assert!((lower - expected).abs() <= 1e-3 * lower.min(upper).max(1e-3), "{at}: {lower} {expected}");
                    assert!((lower + upper - 1.0).abs() <= 1e-14, "{at}");
                }
                sum = next;
            }
        }
    }
}

#[test]
fn draws_follow_the_distribution_function() {
    const DRAWS: usize = 20_000;
    for f in all() {
        for (stream, eta) in moderate(&*f).iter().enumerate() {
            let n = trials(&*f);
            let mut rng = Random::seed_from_u64(7 + stream as u64);
            let mut draws: Vec<f64> = (0..DRAWS).map(|_| f.draw(&mut rng, n, eta)).collect();
            draws.sort_by(f64::total_cmp);
            let at = format!("{} {eta:?}", label(&*f));
            assert!(draws.iter().all(|&y| f.check(y, n).is_ok()), "{at}");
            for share in [1, 4, 10, 16, 19] {
                let y = draws[share * DRAWS / 20];
                let below = draws.partition_point(|&d| d <= y) as f64 / DRAWS as f64;
                let (lower, upper) = f.cdf(y, n, eta);
                let error = (lower * upper / DRAWS as f64).sqrt() + 1.0 / DRAWS as f64;
                assert!((below - lower).abs() <= STANDARD_ERRORS * error, "{at} {y} {below} {lower}");
            }
            let mean = draws.iter().sum::<f64>() / (n * DRAWS as f64);
            let error = (f.variance(eta, n) / DRAWS as f64).sqrt();
            assert!((mean - f.mean(eta)).abs() <= STANDARD_ERRORS * error, "{at} {mean}");
        }
    }
}

#[test]
fn the_same_seed_draws_the_same() {
    for f in all() {
        let eta = &moderate(&*f)[0];
        let draw = || f.draw(&mut Random::seed_from_u64(3), trials(&*f), eta);
        assert_eq!(draw().to_bits(), draw().to_bits());
    }
}
