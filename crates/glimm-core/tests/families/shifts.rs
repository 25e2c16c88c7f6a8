//! Sums at many shifts of a predictor by a family's short way, against the rows one by one.

use super::{all, label, lookup};
use glimm_core::family::{Derivs, Family, Rows, Want};

const ROWS: usize = 23;
const SHIFTS: [f64; 21] = [
    -30.0, -12.5, -9.0, -7.0, -4.0, -3.0, -2.0, -1.5, -1.0, -1e-3, 0.0, 1e-9, 0.1, 0.7, 1.0, 1.3, 2.0, 3.1, 5.0, 12.0,
    30.0,
];

struct Case {
    y: Vec<f64>,
    size: Option<Vec<f64>>,
    weight: Option<Vec<f64>>,
    eta: Vec<f64>,
}

impl Case {
    fn new(f: &dyn Family, spread: f64) -> Case {
        let y = |i: usize| if f.name() == "binomial" { (i % 3 % 2) as f64 } else { (i * i % 7) as f64 };
        let eta = |i: usize| spread * ((i * 7 % ROWS) as f64 / ROWS as f64 - 0.5);
        Case { y: (0..ROWS).map(y).collect(), size: None, weight: None, eta: (0..ROWS).map(eta).collect() }
    }

    fn rows(&self) -> Rows<'_> {
        Rows { y: &self.y, size: self.size.as_deref() }
    }

    fn short(&self, f: &dyn Family, shifts: &[f64]) -> Option<(Vec<f64>, f64)> {
        let mut out = vec![0.0; shifts.len()];
        let rounded = f.add_shifted(self.rows(), self.weight.as_deref(), &[&self.eta], shifts, &mut out)?;
        Some((out, rounded))
    }

    fn long(&self, f: &dyn Family, shift: f64) -> f64 {
        let eta: Vec<f64> = self.eta.iter().map(|e| e + shift).collect();
        let mut out = Derivs::default();
        f.derivs(self.rows(), &[&eta], Want { dims: 1, order: 0, value: true }, &mut out);
        let weight = |i: usize| self.weight.as_ref().map_or(1.0, |w| w[i]);
        out.value().iter().enumerate().map(|(i, f)| weight(i) * f).sum()
    }

    fn agrees(&self, f: &dyn Family) -> bool {
        let Some((found, rounded)) = self.short(f, &SHIFTS) else { return false };
        for (found, shift) in found.iter().zip(SHIFTS) {
            let expected = self.long(f, shift);
            // eta + shift itself is rounded
            let largest = self.eta.iter().fold(0.0f64, |m, e| m.max((e + shift).abs()));
            let allowed = (4.0 + largest) * f64::EPSILON * (expected.abs() + rounded);
            assert!((found - expected).abs() <= allowed, "{} at {shift}: {found} for {expected}", label(f));
        }
        true
    }
}

#[test]
fn short_ways_agree_with_the_rows() {
    let short: Vec<String> = all()
        .into_iter()
        .filter(|f| f.predictors() == 1 && [0.0, 4.0, 60.0].map(|spread| Case::new(&**f, spread).agrees(&**f))[0])
        .map(|f| label(&*f))
        .collect();
    assert_eq!(short, ["binomial logit", "poisson log"]);
}

#[test]
fn weights_and_trials_are_kept_or_refused() {
    let (binomial, poisson) = (lookup("binomial", None).unwrap(), lookup("poisson", None).unwrap());
    let mut case = Case::new(&*poisson, 3.0);
    case.weight = Some((0..ROWS).map(|i| (i % 4) as f64 * 0.5).collect());
    assert!(case.agrees(&*poisson));
    case = Case::new(&*binomial, 3.0);
    case.weight = Some(vec![1.0; ROWS]);
    case.size = Some(vec![1.0; ROWS]);
    assert!(case.agrees(&*binomial));
    case.weight = Some((0..ROWS).map(|i| (i % 4) as f64).collect());
    assert!(case.short(&*binomial, &SHIFTS).is_none());
    (case.weight, case.size) = (None, Some(vec![3.0; ROWS]));
    assert!(case.short(&*binomial, &SHIFTS).is_none());
}

#[test]
fn products_that_would_overflow_are_refused_or_cut() {
    let f = lookup("binomial", None).unwrap();
    let mut case = Case::new(&*f, 2.0);
    assert!(case.short(&*f, &[690.0]).is_some_and(|(sums, _)| sums[0] == case.long(&*f, 690.0)));
    assert!(case.short(&*f, &[f64::NAN]).is_none());
    case.eta = vec![400.0; ROWS];
    assert!(case.short(&*f, &[400.0]).is_none());
}

#[test]
fn large_counts_keep_their_digits() {
    let f = lookup("poisson", None).unwrap();
    let case = Case { y: vec![1e8; 5], size: None, weight: None, eta: vec![1e8f64.ln() + 1e-5; 5] };
    let (found, _) = case.short(&*f, &[0.0, -1e-5, 1e-4]).unwrap();
    for (found, shift) in found.iter().zip([0.0, -1e-5, 1e-4]) {
        // 5 y (expm1(e) - e) at e = 1e-5 + shift; ln y itself, about 18, is rounded
        let e: f64 = 1e-5 + shift;
        let expected = -5e8 * (e.powi(2) / 2.0 + e.powi(3) / 6.0 + e.powi(4) / 24.0);
        let allowed = 5e8 * (e.abs() + 1e-5) * 18.0 * f64::EPSILON;
        assert!((found - expected).abs() <= allowed, "{shift}: {found} for {expected}");
    }
}
