//! A plan at work on blocks of rows: the same few numbers of memory for every block.

use std::cell::RefCell;

use super::ops::apply;
use super::tape::{Kind, Plan, Work};
use crate::family::jets::Jet;
use crate::family::{Derivs, Rows};

/// Rows of a block.
const LANES: usize = 16;

type Number = Jet<1, 1>;

/// The numbers of one kind for one block of rows.
struct Bank<const D: usize, const N: usize> {
    data: Vec<[Jet<D, N>; LANES]>,
}

impl<const D: usize, const N: usize> Bank<D, N> {
    fn new(count: usize) -> Self {
        Bank { data: vec![[Jet::constant(0.0); LANES]; count] }
    }

    /// Arguments stand before results.
    #[inline(always)]
    fn call(&mut self, op: super::ops::Op, args: [usize; 3], out: usize, lanes: usize) {
        let (before, after) = self.data.split_at_mut(out);
        let [a, b, c] = args.map(|k| &before[k]);
        for (lane, out) in after[0][..lanes].iter_mut().enumerate() {
            *out = apply(op, [&a[lane], &b[lane], &c[lane]]);
        }
    }

    #[inline(always)]
    fn with(&mut self, arg: usize, plain: &[Number; LANES], out: usize, op: impl Fn(Jet<D, N>, f64) -> Jet<D, N>) {
        let (before, after) = self.data.split_at_mut(out);
        for ((out, arg), plain) in after[0].iter_mut().zip(&before[arg]).zip(plain) {
            *out = op(*arg, plain.value());
        }
    }

    #[inline(always)]
    fn raise(&mut self, plain: &[Number; LANES], out: usize) {
        self.data[out].iter_mut().zip(plain).for_each(|(out, plain)| *out = Jet::constant(plain.value()));
    }
}

/// Fills derivatives of D predictors in N components, M of them along each one; the value only if asked for.
pub(super) fn fill<const D: usize, const N: usize, const M: usize>(
    plan: &Plan,
    rows: Rows<'_>,
    eta: &[&[f64]],
    order: usize,
    value: bool,
    out: &mut Derivs,
) {
    out.reshape(D, order, rows.y.len());
    let columns = out.columns::<N>();
    let mut banks = Banks::<D, N, M>::new(plan);
    let work = if value { &plan.work[..] } else { &plan.work[..plan.main] };
    for start in (0..rows.y.len()).step_by(LANES) {
        let lanes = LANES.min(rows.y.len() - start);
        banks.run(work, rows, eta, start, lanes);
        for lane in 0..lanes {
            let mut found = plan.varying.map_or([0.0; N], |v| banks.full.data[v][lane].derivatives());
            if value {
                found[0] += plan.rest.map_or(0.0, |r| banks.plain.data[r][lane].value());
            }
            for c in 0..N {
                columns[c][start + lane] = found[c];
            }
        }
    }
}

struct Banks<const D: usize, const N: usize, const M: usize> {
    plain: Bank<1, 1>,
    single: Bank<1, M>,
    full: Bank<D, N>,
}

impl<const D: usize, const N: usize, const M: usize> Banks<D, N, M> {
    fn new(plan: &Plan) -> Self {
        let [plain, single, full] = plan.counts;
        let mut banks = Banks { plain: Bank::new(plain), single: Bank::new(single), full: Bank::new(full) };
        for &(place, value) in &plan.constants {
            banks.plain.data[place] = [Jet::constant(value); LANES];
        }
        banks
    }

    #[inline(always)]
    fn run(&mut self, work: &[Work], rows: Rows<'_>, eta: &[&[f64]], start: usize, lanes: usize) {
        for step in work {
            self.step(step, rows, eta, start, lanes);
        }
    }

    #[inline(always)]
    fn step(&mut self, step: &Work, rows: Rows<'_>, eta: &[&[f64]], start: usize, lanes: usize) {
        let Banks { plain, single, full } = self;
        match *step {
            Work::Y { out } => input(&mut plain.data[out], &rows.y[start..], lanes),
            Work::Size { out } => match rows.size {
                Some(size) => input(&mut plain.data[out], &size[start..], lanes),
                None => plain.data[out] = [Jet::constant(1.0); LANES],
            },
            Work::Given { predictor, out } => input(&mut plain.data[out], &eta[predictor][start..], lanes),
            Work::Variable { predictor, out } => {
                let values = &eta[predictor][start..][..lanes];
                single.data[out].iter_mut().zip(values).for_each(|(out, e)| *out = Jet::variable(0, *e));
            }
            Work::Call { op, kind, args, out } => match kind {
                Kind::Plain => plain.call(op, args, out, lanes),
                Kind::Single(_) => single.call(op, args, out, lanes),
                Kind::Full => full.call(op, args, out, lanes),
            },
            Work::Scale { kind: Kind::Full, arg, plain: p, out } => full.with(arg, &plain.data[p], out, |a, x| a * x),
            Work::Scale { arg, plain: p, out, .. } => single.with(arg, &plain.data[p], out, |a, x| a * x),
            Work::Shift { kind: Kind::Full, arg, plain: p, out } => full.with(arg, &plain.data[p], out, |a, x| a + x),
            Work::Shift { arg, plain: p, out, .. } => single.with(arg, &plain.data[p], out, |a, x| a + x),
            Work::Raise { kind: Kind::Full, plain: p, out } => full.raise(&plain.data[p], out),
            Work::Raise { plain: p, out, .. } => single.raise(&plain.data[p], out),
            Work::Embed { predictor, arg, out } => {
                let all = full.data[out].iter_mut().zip(&single.data[arg]);
                all.for_each(|(out, arg)| *out = arg.embed(predictor));
            }
        }
    }
}

#[inline(always)]
fn input(out: &mut [Number; LANES], values: &[f64], lanes: usize) {
    out.iter_mut().zip(&values[..lanes]).for_each(|(out, value)| *out = Jet::constant(*value));
}

thread_local! {
    static NUMBERS: RefCell<Vec<Number>> = const { RefCell::new(Vec::new()) };
}

/// A plan of plain numbers at one row.
pub(super) fn number(plan: &Plan, y: f64, size: f64, eta: &[f64]) -> f64 {
    NUMBERS.with_borrow_mut(|numbers| {
        numbers.clear();
        numbers.resize(plan.counts[0], Jet::constant(0.0));
        plan.constants.iter().for_each(|&(place, value)| numbers[place] = Jet::constant(value));
        for step in &plan.work {
            match *step {
                Work::Y { out } => numbers[out] = Jet::constant(y),
                Work::Size { out } => numbers[out] = Jet::constant(size),
                Work::Given { predictor, out } => numbers[out] = Jet::constant(eta[predictor]),
                Work::Call { op, args, out, .. } => numbers[out] = apply(op, args.map(|k| &numbers[k])),
                _ => {}
            }
        }
        plan.rest.map_or(0.0, |place| numbers[place].value())
    })
}
