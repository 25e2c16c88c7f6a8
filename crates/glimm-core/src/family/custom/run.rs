//! A plan at work on blocks of rows: the same few numbers of memory for every block.

use std::cell::Cell;

use super::ops::{Op, power, table};
use super::series::Shape;
use super::tape::{Kind, Plan, Work};
use crate::family::{Derivs, Rows};
use crate::special::{select, vectorized};

/// Rows of a block.
const LANES: usize = 16;

/// The shapes of plain numbers, of series in one variable and of those in all.
pub(super) type Shapes = [Shape; 3];

/// The numbers of a block of rows, by kind.
#[derive(Default)]
struct Banks<const L: usize> {
    plain: Vec<[f64; L]>,
    single: Vec<[f64; L]>,
    full: Vec<[f64; L]>,
}

/// A block of rows: responses, trials and predictors from `start` on, `lanes` of them.
#[derive(Clone, Copy)]
struct Block<'a> {
    rows: Rows<'a>,
    eta: &'a [&'a [f64]],
    start: usize,
    lanes: usize,
}

impl<const L: usize> Banks<L> {
    /// Room for a plan; contents other than constants are unspecified.
    fn prepare(&mut self, plan: &Plan, shapes: &Shapes) {
        let banks = [&mut self.plain, &mut self.single, &mut self.full];
        for ((bank, count), shape) in banks.into_iter().zip(plan.counts).zip(shapes) {
            if bank.len() < count * shape.count {
                bank.resize(count * shape.count, [0.0; L]);
            }
        }
        for &(place, value) in &plan.constants {
            self.plain[place] = [value; L];
        }
    }

    #[inline(always)]
    fn run(&mut self, work: &[Work], shapes: &Shapes, block: Block<'_>) {
        for step in work {
            self.step(step, shapes, block);
        }
    }

    #[inline(always)]
    fn step(&mut self, step: &Work, shapes: &Shapes, block: Block<'_>) {
        let Banks { plain, single, full } = self;
        match *step {
            Work::Y { out } => input(&mut plain[out], block.rows.y, block),
            Work::Size { out } => match block.rows.size {
                Some(size) => input(&mut plain[out], size, block),
                None => plain[out] = [1.0; L],
            },
            Work::Given { predictor, out } => input(&mut plain[out], block.eta[predictor], block),
            Work::Variable { predictor, out } => {
                let out = &mut single[out * shapes[1].count..][..shapes[1].count];
                out.fill([0.0; L]);
                out[1] = [1.0; L];
                input(&mut out[0], block.eta[predictor], block);
            }
            Work::Call { op, kind, args, out } => match kind {
                Kind::Plain => call(op, plain, &shapes[0], args, out),
                Kind::Single(_) => call(op, single, &shapes[1], args, out),
                Kind::Full => call(op, full, &shapes[2], args, out),
            },
            Work::Step { op, kind, args, out } => {
                let values = match kind {
                    Kind::Plain => args.map(|a| plain[a]),
                    Kind::Single(_) => args.map(|a| single[a * shapes[1].count]),
                    Kind::Full => args.map(|a| full[a * shapes[2].count]),
                };
                for lane in 0..L {
                    plain[out][lane] = op.step(values[0][lane], values[1][lane]);
                }
            }
            Work::With { op, kind, arg, plain: p, out } => {
                let p = plain[p];
                match kind {
                    Kind::Plain => with(op, plain, &shapes[0], arg, &p, out),
                    Kind::Single(_) => with(op, single, &shapes[1], arg, &p, out),
                    Kind::Full => with(op, full, &shapes[2], arg, &p, out),
                }
            }
            Work::Where { kind, condition, args, out } => {
                let condition = plain[condition].map(|c| c != 0.0);
                match kind {
                    Kind::Plain => choose(plain, &shapes[0], &condition, args, out),
                    Kind::Single(_) => choose(single, &shapes[1], &condition, args, out),
                    Kind::Full => choose(full, &shapes[2], &condition, args, out),
                }
            }
            Work::Raise { kind, plain: p, out } => {
                let (bank, count) =
                    if kind == Kind::Full { (full, shapes[2].count) } else { (single, shapes[1].count) };
                bank[out * count..][..count].fill([0.0; L]);
                bank[out * count] = plain[p];
            }
            Work::Embed { predictor, arg, out } => {
                let (n, m) = (shapes[2].count, shapes[1].count);
                shapes[2].embed(predictor, &single[arg * m..][..m], &mut full[out * n..][..n]);
            }
        }
    }
}

#[inline(always)]
fn input<const L: usize>(out: &mut [f64; L], values: &[f64], block: Block<'_>) {
    let values = &values[block.start..][..block.lanes];
    // Lanes beyond the last row repeat it.
    for lane in 0..L {
        out[lane] = values[lane.min(block.lanes - 1)];
    }
}

/// Arguments stand before results.
#[inline(always)]
fn call<const L: usize>(op: Op, bank: &mut [[f64; L]], shape: &Shape, args: [usize; 2], out: usize) {
    let n = shape.count;
    let (before, after) = bank.split_at_mut(out * n);
    let ([a, b], out) = (args.map(|k| &before[k * n..][..n]), &mut after[..n]);
    match op {
        Op::Add => combine(a, b, out, |a, b| a + b),
        Op::Subtract => combine(a, b, out, |a, b| a - b),
        // Of plain numbers only.
        Op::Divide => combine(a, b, out, |a, b| a / b),
        Op::Negative => combine(a, b, out, |a, _| -a),
        Op::Multiply => shape.multiply(a, b, out),
        Op::Square => shape.multiply(a, a, out),
        Op::Absolute => {
            let sign = a[0].map(|x| if x < 0.0 { -1.0 } else { 1.0 });
            out.iter_mut().zip(a).for_each(|(out, a)| (0..L).for_each(|l| out[l] = sign[l] * a[l]));
        }
        Op::Maximum | Op::Minimum => {
            // Of equal arguments one has the first, the other the second.
            let first: [bool; L] = std::array::from_fn(|l| (a[0][l] < b[0][l]) != (op == Op::Maximum));
            blend(&first, a, b, out);
        }
        _ => {
            shape.compose(a, &table(op, &a[0]), out);
            if op == Op::Softplus {
                // The logarithm of nothing adds nothing.
                let none = a[0].map(|x| x == f64::NEG_INFINITY);
                out.iter_mut().for_each(|out| (0..L).for_each(|l| out[l] = select(none[l], 0.0, out[l])));
            }
        }
    }
}

#[inline(always)]
fn combine<const L: usize>(a: &[[f64; L]], b: &[[f64; L]], out: &mut [[f64; L]], op: impl Fn(f64, f64) -> f64) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        for lane in 0..L {
            out[lane] = op(a[lane], b[lane]);
        }
    }
}

#[inline(always)]
fn blend<const L: usize>(first: &[bool; L], a: &[[f64; L]], b: &[[f64; L]], out: &mut [[f64; L]]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        for lane in 0..L {
            out[lane] = select(first[lane], a[lane], b[lane]);
        }
    }
}

#[inline(always)]
fn choose<const L: usize>(bank: &mut [[f64; L]], shape: &Shape, first: &[bool; L], args: [usize; 2], out: usize) {
    let n = shape.count;
    let (before, after) = bank.split_at_mut(out * n);
    let [a, b] = args.map(|k| &before[k * n..][..n]);
    blend(first, a, b, &mut after[..n]);
}

#[inline(always)]
fn with<const L: usize>(op: Op, bank: &mut [[f64; L]], shape: &Shape, arg: usize, plain: &[f64; L], out: usize) {
    let n = shape.count;
    let (before, after) = bank.split_at_mut(out * n);
    let (a, out) = (&before[arg * n..][..n], &mut after[..n]);
    match op {
        Op::Add => {
            out.copy_from_slice(a);
            (0..L).for_each(|lane| out[0][lane] += plain[lane]);
        }
        Op::Multiply => {
            for (out, a) in out.iter_mut().zip(a) {
                (0..L).for_each(|lane| out[lane] = a[lane] * plain[lane]);
            }
        }
        _ => {
            let mut f = [[0.0; L]; 5];
            for lane in 0..L {
                let found = power(a[0][lane], plain[lane]);
                (0..5).for_each(|k| f[k][lane] = found[k]);
            }
            shape.compose(a, &f, out);
        }
    }
}

thread_local! {
    static BLOCKS: Cell<Banks<LANES>> = const { Cell::new(Banks { plain: Vec::new(), single: Vec::new(), full: Vec::new() }) };
    static ROW: Cell<Banks<1>> = const { Cell::new(Banks { plain: Vec::new(), single: Vec::new(), full: Vec::new() }) };
}

/// Fills all derivatives of the shapes' order; the value only if asked for.
pub(super) fn fill(plan: &Plan, shapes: &Shapes, rows: Rows<'_>, eta: &[&[f64]], value: bool, out: &mut Derivs) {
    out.reshape(plan.dims, shapes[2].order, rows.y.len());
    let mut banks = BLOCKS.take();
    banks.prepare(plan, shapes);
    vectorized(
        #[inline(always)]
        || blocks(&mut banks, plan, shapes, rows, eta, value, out),
    );
    BLOCKS.set(banks);
}

#[inline(always)]
fn blocks(
    banks: &mut Banks<LANES>,
    plan: &Plan,
    shapes: &Shapes,
    rows: Rows<'_>,
    eta: &[&[f64]],
    value: bool,
    out: &mut Derivs,
) {
    let work = if value { &plan.work[..] } else { &plan.work[..plan.main] };
    let n = shapes[2].count;
    for start in (0..rows.y.len()).step_by(LANES) {
        let lanes = LANES.min(rows.y.len() - start);
        banks.run(work, shapes, Block { rows, eta, start, lanes });
        for c in 0..n {
            let scale = shapes[2].factorials[c];
            let found = plan.varying.map_or([0.0; LANES], |v| banks.full[v * n + c]);
            let column = &mut out.component_mut(c)[start..start + lanes];
            column.iter_mut().zip(found).for_each(|(out, found)| *out = found * scale);
        }
        if let Some(rest) = plan.rest.filter(|_| value) {
            let column = &mut out.component_mut(0)[start..start + lanes];
            column.iter_mut().zip(banks.plain[rest]).for_each(|(out, rest)| *out += rest);
        }
    }
}

/// A plan of plain numbers at one row.
pub(super) fn number(plan: &Plan, shapes: &Shapes, y: f64, size: f64, eta: &[f64]) -> f64 {
    let mut banks = ROW.take();
    banks.prepare(plan, shapes);
    let eta: [&[f64]; 4] = std::array::from_fn(|k| eta.get(k).map_or(&[][..], std::slice::from_ref));
    let rows = Rows { y: &[y], size: Some(&[size]) };
    vectorized(
        #[inline(always)]
        || banks.run(&plan.work, shapes, Block { rows, eta: &eta, start: 0, lanes: 1 }),
    );
    let found = plan.rest.map_or(0.0, |place| banks.plain[place][0]);
    ROW.set(banks);
    found
}
