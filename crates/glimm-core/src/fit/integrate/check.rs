//! How far a rule is from the reference, at given parameters.

use rayon::prelude::*;

use super::super::path::Engine;
use super::super::standard::Standard;
use super::super::{INNER_LAST, Problem, inference};
use super::{LOOK, SLACK};
use crate::error::Error;
use crate::integration::{Certificate, Rule};
use crate::linalg::dense;
use crate::objective::corrected;
use crate::objective::{Evaluation, Order, Reject, Units};
use crate::optim::Outcome;
use crate::shuffle;

/// Groups that are looked at together.
const TOGETHER: usize = 64;
/// Parts of a sample, whose spread tells its error.
const BATCHES: usize = 20;
/// Units that are looked at without sampling at most.
const MOST_WHOLE: usize = 5000;
/// Units of a sample at most.
const MOST_SAMPLED: usize = 2000;
/// How many times the affordable work the least sample may take.
const STRETCH: f64 = 10.0;
/// Nodes per effect of the reference for three effects, and for four.
const PRODUCT: [usize; 2] = [15, 9];
/// Nodes per effect of the reference where panels cost too much.
const PLAIN: usize = 7;
/// Nodes per effect of the products by which Laplace's approximation is looked at on a sample, for one effect and two;
/// a number of units whose multiples fill the tiles of every batch; and what the products may differ by: a part of what
/// they say, or so little in nats and standard errors.
const GLANCE: [[usize; 3]; 2] = [[9, 15, 25], [5, 7, 15]];
const GLANCED: usize = 8 * BATCHES;
const AGREED: f64 = 0.1;
const LITTLE: f64 = 1e-3;

/// What the reference adds to the log-likelihood and its gradient.
pub(super) struct Check {
    pub value: f64,
    pub gradient: Vec<f64>,
    /// Standard error of the value and covariance of the gradient, where only a sample was looked at.
    pub value_se: f64,
    pub covariance: Vec<f64>,
    /// Stated error of the reference itself.
    pub stated: f64,
    pub checked: usize,
}

/// Which groups are looked at, by which reference, and how many groups each stands for.
pub(super) struct Sample {
    pub batches: Vec<Vec<usize>>,
    pub reference: Rule,
    pub weight: f64,
}

/// The groups of a sample by the reference, batch by batch, and what it states of its own error.
pub(super) struct References {
    pub batches: Vec<Box<dyn Units>>,
    pub stated: f64,
}

/// So many of the groups, in batches, and how many groups each of them stands for.
fn deal(groups: usize, count: usize) -> (Vec<Vec<usize>>, f64) {
    if count >= groups {
        let batches = (0..groups).collect::<Vec<_>>().chunks(TOGETHER).map(<[usize]>::to_vec).collect();
        return (batches, 1.0);
    }
    let mut batches = vec![Vec::new(); BATCHES.min(count)];
    let parts = batches.len();
    for (i, g) in shuffle::sample(groups, count).into_iter().enumerate() {
        batches[i % parts].push(g as usize);
    }
    (batches, groups as f64 / count as f64)
}

impl Sample {
    fn new(groups: usize, count: usize, reference: Rule) -> Sample {
        let (batches, weight) = deal(groups, count);
        Sample { batches, reference, weight }
    }

    /// Nodes of the reference at `psi`.
    pub fn references(&self, all: &dyn Units, psi: &[f64]) -> Result<References, Reject> {
        let of_batch = |groups: &Vec<usize>| {
            let mut units = all.of_units(groups);
            let stated = units.choose(psi, self.reference)?.error;
            // Products of nodes state none.
            Ok((units, if stated.is_nan() { 0.0 } else { stated }))
        };
        let found: Vec<(Box<dyn Units>, f64)> = self.batches.par_iter().map(of_batch).collect::<Result<_, Reject>>()?;
        let stated = self.weight * found.iter().map(|f| f.1).sum::<f64>();
        Ok(References { batches: found.into_iter().map(|f| f.0).collect(), stated })
    }

    /// What they add to `cheap` at `psi`.
    pub fn check(
        &self,
        all: &dyn Units,
        psi: &[f64],
        cheap: Option<Rule>,
        references: &mut References,
    ) -> Result<Check, Reject> {
        let of_batch = |(groups, better): (&Vec<usize>, &mut Box<dyn Units>)| {
            let mut plain = all.of_units(groups);
            cheap.map(|rule| plain.choose(psi, rule)).transpose()?;
            let mut difference = better.evaluate(psi, Order::Gradient, INNER_LAST)?;
            corrected::add(&mut difference, -1.0, &plain.evaluate(psi, Order::Gradient, INNER_LAST)?);
            Ok(difference)
        };
        let pairs = self.batches.par_iter().zip(&mut references.batches);
        let differences: Vec<Evaluation> = pairs.map(of_batch).collect::<Result<_, Reject>>()?;
        let checked = self.batches.iter().map(Vec::len).sum();
        Ok(Check { stated: references.stated, checked, ..Check::new(&differences, self.weight) })
    }
}

impl Problem {
    /// All groups if that is affordable, or a sample of them; `work` is what may be spent.
    pub(super) fn sample_for_check(&self, groups: usize, reference: Rule, work: f64) -> Sample {
        // Draws, which is what the reference is then, are too noisy to tell the error of a good rule.
        let reference = match (&self.engine, self.effects()) {
            (Engine::Block(_), 3) => Rule::Gauss(PRODUCT[0]),
            (Engine::Block(_), 4) => Rule::Gauss(PRODUCT[1]),
            _ => reference,
        };
        let all = self.reference_cost(self.data.n());
        if (all <= work && groups <= MOST_WHOLE) || groups <= BATCHES {
            return Sample::new(groups, groups, reference);
        }
        let wanted = (groups as f64 * work / all) as usize / BATCHES * BATCHES;
        let least = 2 * BATCHES;
        let panels = all * least as f64 / groups as f64 <= STRETCH * work;
        let reference = if panels { reference } else { Rule::Gauss(PLAIN) };
        Sample::new(groups, wanted.clamp(least, MOST_SAMPLED), reference)
    }

    /// What the reference adds to `cheap` at `psi`; no rule is Laplace's.
    pub(super) fn check(
        &self,
        all: &dyn Units,
        psi: &[f64],
        cheap: Option<Rule>,
        sample: &Sample,
    ) -> Result<Check, Reject> {
        let mut references = sample.references(all, psi)?;
        Ok(self.reduced(sample.check(all, psi, cheap, &mut references)?))
    }

    /// The same in the parameters that are free.
    pub(super) fn reduced(&self, mut check: Check) -> Check {
        if let Some(prior) = &self.prior {
            prior.pull(&mut check.gradient);
            prior.pull_both(check.gradient.len(), &mut check.covariance);
        }
        check
    }

    /// Value and gradient without what a prior adds.
    fn without_prior(&self, psi: &[f64], last: &Evaluation) -> Evaluation {
        let mut likelihood = Evaluation { hessian: None, ..last.clone() };
        if let Some(prior) = &self.prior {
            let mut own = Evaluation { value: 0.0, gradient: vec![0.0; psi.len()], hessian: None };
            prior.add_to(psi, &mut own);
            corrected::add(&mut likelihood, -1.0, &own);
        }
        likelihood
    }

    /// What `better`, which stated its own error near `psi`, adds to the objective `last` there.
    pub(super) fn check_known(
        &self,
        (better, stated): (Evaluation, f64),
        psi: &[f64],
        last: &Evaluation,
        checked: usize,
    ) -> Check {
        let found = Check::between(better, &self.without_prior(psi, last));
        self.reduced(Check { stated: SLACK * stated, checked, ..found })
    }

    /// What the reference of all groups adds to the objective `last` at `psi`.
    pub(super) fn check_all(
        &self,
        all: &dyn Units,
        psi: &[f64],
        last: &Evaluation,
        sample: &Sample,
    ) -> Result<Check, Reject> {
        let cheap = self.without_prior(psi, last);
        // Constants of compressed groups are known for all of them together only.
        let (mut value, mut gradient) = (all.log_constant() - cheap.value, cheap.gradient);
        gradient.iter_mut().for_each(|g| *g = -*g);
        let mut references = sample.references(all, psi)?;
        let of_batch = |better: &mut Box<dyn Units>| better.evaluate(psi, Order::Gradient, INNER_LAST);
        let parts: Vec<Evaluation> = references.batches.par_iter_mut().map(of_batch).collect::<Result<_, Reject>>()?;
        for (part, better) in parts.iter().zip(&references.batches) {
            value += part.value - better.log_constant();
            gradient.iter_mut().zip(&part.gradient).for_each(|(a, b)| *a += b);
        }
        let p = psi.len();
        Ok(self.reduced(Check {
            value,
            gradient,
            value_se: 0.0,
            covariance: vec![0.0; p * p],
            stated: references.stated,
            checked: all.units(),
        }))
    }

    /// Laplace's approximation as it is, with its error.
    pub(super) fn certify_laplace(&self, outcome: &Outcome, last: &Evaluation) -> Result<Certificate, Error> {
        let Some(all) = self.engine.units() else { return Ok(Certificate::default()) };
        let sample = self.sample_for_check(all.units(), Rule::Reference(SLACK * self.negligible()), LOOK);
        let mut certificate =
            Certificate { method: "laplace", units: all.units(), nodes: [1; 3], ..Default::default() };
        // Panels over every unit are cheap for one effect.
        let dear = sample.weight > 1.0 || self.effects() > 1;
        let glanced = if dear { self.glance(all, &outcome.psi, last) } else { Ok(None) };
        let found = match glanced {
            Ok(None) => self.check(all, &outcome.psi, None, &sample),
            glanced => glanced.and_then(|found| found.ok_or(Reject::NoMode)),
        };
        match found {
            Ok(check) => check.report(&self.standard, last, &mut certificate),
            Err(Reject::Interrupted) => return Err(Error::Interrupted),
            Err(_) => certificate.loglik_error = f64::NAN,
        }
        certificate.laplace_error = -certificate.laplace_error;
        Ok(certificate)
    }
}

impl Problem {
    /// What products of a few nodes say of Laplace's approximation, on a sample that is far larger than that of the
    /// reference at the same price, or on all units; `None` where no two of them agree.
    fn glance(&self, all: &dyn Units, psi: &[f64], last: &Evaluation) -> Result<Option<Check>, Reject> {
        let (Engine::Block(_), q @ 1..=2) = (&self.engine, self.effects()) else { return Ok(None) };
        for nodes in GLANCE[q - 1].windows(2) {
            let found = self.glance_by([nodes[0], nodes[1]], all, psi, last)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What the larger of two products says, if the smaller one says the same.
    fn glance_by(
        &self,
        nodes: [usize; 2],
        all: &dyn Units,
        psi: &[f64],
        last: &Evaluation,
    ) -> Result<Option<Check>, Reject> {
        let each: usize = nodes.iter().map(|k| k.pow(self.effects() as u32)).sum();
        let rows = self.data.n() as f64 / all.units() as f64;
        let affordable = (0.25 * LOOK / (rows * each as f64 * self.data.family.price())) as usize;
        let count = (affordable.min(MOST_SAMPLED) / GLANCED * GLANCED).max(GLANCED);
        let (batches, weight) = deal(all.units(), count);
        let of_batch = |groups: &Vec<usize>| by_products(&mut *all.of_units(groups), psi, nodes);
        let both: Vec<[Evaluation; 2]> = batches.par_iter().map(of_batch).collect::<Result<_, Reject>>()?;
        let [found, apart] = [0, 1].map(|i| {
            let differences: Vec<Evaluation> = both.iter().map(|pair| pair[i].clone()).collect();
            self.reduced(Check::new(&differences, weight))
        });
        let bias = |check: &Check| check.bias(&self.standard, last).0.iter().fold(0.0_f64, |m, b| m.max(b.abs()));
        let agrees = |apart: f64, found: f64| apart <= (AGREED * found).max(LITTLE);
        let agreed = agrees(apart.value.abs(), found.value.abs()) && agrees(bias(&apart), bias(&found));
        let checked = batches.iter().map(Vec::len).sum();
        Ok(agreed.then(|| Check { stated: apart.value.abs(), checked, ..found }))
    }
}

/// What the larger of two products of nodes adds to Laplace's approximation of some units, and what it adds to the smaller.
fn by_products(units: &mut dyn Units, psi: &[f64], nodes: [usize; 2]) -> Result<[Evaluation; 2], Reject> {
    let laplace = units.evaluate(psi, Order::Gradient, INNER_LAST)?;
    units.accept();
    let mut by = |k: usize| {
        units.choose(psi, Rule::Gauss(k))?;
        units.evaluate(psi, Order::Gradient, INNER_LAST)
    };
    let (fewer, mut found) = (by(nodes[0])?, by(nodes[1])?);
    let mut apart = found.clone();
    corrected::add(&mut found, -1.0, &laplace);
    corrected::add(&mut apart, -1.0, &fewer);
    Ok([found, apart])
}

impl Check {
    /// What one evaluation adds to another.
    pub fn between(mut better: Evaluation, last: &Evaluation) -> Check {
        corrected::add(&mut better, -1.0, last);
        Check::new(&[better], 1.0)
    }

    /// Totals of the batches' differences, and what the batches' spread says of them.
    pub fn new(differences: &[Evaluation], weight: f64) -> Check {
        let p = differences[0].gradient.len();
        let (n, mut gradient, mut value) = (differences.len() as f64, vec![0.0; p], 0.0);
        for d in differences {
            value += weight * d.value;
            gradient.iter_mut().zip(&d.gradient).for_each(|(s, g)| *s += weight * g);
        }
        let (mut value_se, mut covariance) = (0.0, vec![0.0; p * p]);
        if weight > 1.0 {
            // The sum of n batches varies n / (n - 1) times as much as they do about their mean; less what is known.
            let times = n / (n - 1.0) * weight * (weight - 1.0);
            for d in differences {
                let off: Vec<f64> = d.gradient.iter().zip(&gradient).map(|(g, s)| g - s / (weight * n)).collect();
                value_se += times * (d.value - value / (weight * n)).powi(2);
                (0..p * p).for_each(|i| covariance[i] += times * off[i / p] * off[i % p]);
            }
        }
        Check { value, gradient, value_se: value_se.sqrt(), covariance, stated: 0.0, checked: 0 }
    }

    /// The move of every parameter of the user's that the difference predicts, and its standard error, both in standard
    /// errors.
    pub fn bias(&self, standard: &Standard, last: &Evaluation) -> (Vec<f64>, Vec<f64>) {
        let (c, p) = (inference::covariance(last).0, self.gradient.len());
        let (mut moves, mut noise, mut room) = (vec![0.0; p], vec![0.0; p * p], vec![0.0; p * p]);
        dense::matvec(&c, &self.gradient, p, &mut moves);
        dense::matmul(&c, &self.covariance, p, &mut room);
        dense::matmul(&room, &c, p, &mut noise);
        let (c, noise) = (standard.covariance_to_user(&c), standard.covariance_to_user(&noise));
        let se = |j: usize| c[j * p + j].sqrt();
        let moves = standard.direction_to_user(&moves);
        ((0..p).map(|j| moves[j] / se(j)).collect(), (0..p).map(|j| noise[j * p + j].sqrt() / se(j)).collect())
    }

    /// Writes what was found; `laplace_error` gets what the reference adds.
    pub fn report(&self, standard: &Standard, last: &Evaluation, certificate: &mut Certificate) {
        (certificate.bias, certificate.bias_se) = self.bias(standard, last);
        certificate.checked = self.checked;
        certificate.loglik_error = self.value.abs() + 2.0 * self.value_se + self.stated;
        certificate.laplace_error = self.value;
    }
}
