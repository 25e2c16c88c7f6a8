//! A recorded function, and its order of work for derivatives in the first predictors.

use std::collections::HashMap;

use super::ops::Op;
use crate::error::Error;

/// One operation as it was recorded: name, places of its arguments, and the number of a leaf
/// ("y", "size", "predictor" k or "constant" value).
pub type Step = (String, Vec<usize>, f64);

#[derive(Clone, Copy)]
enum Node {
    Constant(f64),
    Y,
    Size,
    Predictor(usize),
    Call(Op, [usize; 3]),
}

/// A recorded function; its last step is its value.
pub(super) struct Tape {
    nodes: Vec<Node>,
    /// The predictors that each node depends on, one bit each.
    depends: Vec<u32>,
    /// How many nodes have it as an argument.
    uses: Vec<usize>,
}

/// What a number depends on: rows alone, one predictor, several.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Plain,
    Single(usize),
    Full,
}

/// A number's place among those of its kind.
pub(super) type Place = (Kind, usize);

/// One step of the work on a block of rows. Places are those of `kind`; `plain` is one of a plain number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Y {
        out: usize,
    },
    Size {
        out: usize,
    },
    Given {
        predictor: usize,
        out: usize,
    },
    Variable {
        predictor: usize,
        out: usize,
    },
    Call {
        op: Op,
        kind: Kind,
        args: [usize; 2],
        out: usize,
    },
    /// An operation whose result is plain.
    Step {
        op: Op,
        kind: Kind,
        args: [usize; 2],
        out: usize,
    },
    /// A sum, product or power with a plain number.
    With {
        op: Op,
        kind: Kind,
        arg: usize,
        plain: usize,
        out: usize,
    },
    Where {
        kind: Kind,
        condition: usize,
        args: [usize; 2],
        out: usize,
    },
    Raise {
        kind: Kind,
        plain: usize,
        out: usize,
    },
    Embed {
        predictor: usize,
        arg: usize,
        out: usize,
    },
}

/// The work for derivatives in the first `dims` predictors, the others given.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) dims: usize,
    pub(super) work: Vec<Work>,
    /// The steps before this one give the derivatives, those after it the rest of the value.
    pub(super) main: usize,
    /// Plain, single and full numbers of a row.
    pub(super) counts: [usize; 3],
    pub(super) constants: Vec<(usize, f64)>,
    pub(super) varying: Option<usize>,
    pub(super) rest: Option<usize>,
    known: HashMap<usize, Place>,
    moved: HashMap<(Place, Kind), usize>,
}

impl Tape {
    /// # Errors
    /// [`Error::Unknown`] for an operation that is not known, or whose arguments are not earlier steps.
    pub(super) fn new(steps: &[Step], predictors: usize) -> Result<Tape, Error> {
        let wrong = |name: &str| Error::Unknown {
            what: "operation of a recorded function",
            name: name.to_owned(),
            allowed: Op::names(),
        };
        let node = |(i, (name, args, value)): (usize, &Step)| {
            let found = match (name.as_str(), *value as usize) {
                ("constant", _) => Node::Constant(*value),
                ("y", _) => Node::Y,
                ("size", _) => Node::Size,
                ("predictor", k) if k < predictors => Node::Predictor(k),
                _ => {
                    let (op, count) = Op::parse(name).ok_or_else(|| wrong(name))?;
                    if args.len() != count || args.iter().any(|a| *a >= i) {
                        return Err(wrong(name));
                    }
                    Node::Call(op, std::array::from_fn(|k| args[k.min(count - 1)]))
                }
            };
            Ok(found)
        };
        let nodes = steps.iter().enumerate().map(node).collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() { Err(wrong("none")) } else { Ok(Tape::of(nodes)) }
    }

    fn of(nodes: Vec<Node>) -> Tape {
        let (mut depends, mut uses) = (Vec::with_capacity(nodes.len()), vec![0; nodes.len()]);
        for node in &nodes {
            depends.push(match node {
                Node::Predictor(k) => 1 << k,
                Node::Call(_, args) => args.iter().fold(0, |all, &a| all | depends[a]),
                _ => 0,
            });
            if let Node::Call(_, args) = node {
                // A unary operation has its argument three times over.
                (0..3).filter(|&k| !args[..k].contains(&args[k])).for_each(|k| uses[args[k]] += 1);
            }
        }
        Tape { nodes, depends, uses }
    }

    /// Whether a node is a number of its row alone, given the predictors from `dims` on.
    fn plain(&self, node: usize, dims: usize) -> bool {
        self.depends[node] & ((1 << dims) - 1) == 0
    }

    /// The terms that add up to a node, with their signs; numbers that are used elsewhere are not split.
    fn terms(&self, node: usize, sign: f64, out: &mut Vec<(f64, usize)>) {
        match self.nodes[node] {
            _ if self.uses[node] > 1 => out.push((sign, node)),
            Node::Call(Op::Add, [a, b, _]) => {
                self.terms(a, sign, out);
                self.terms(b, sign, out);
            }
            Node::Call(Op::Subtract, [a, b, _]) => {
                self.terms(a, sign, out);
                self.terms(b, -sign, out);
            }
            Node::Call(Op::Negative, [a, ..]) => self.terms(a, -sign, out),
            _ => out.push((sign, node)),
        }
    }

    fn all_terms(&self) -> Vec<(f64, usize)> {
        let mut out = Vec::new();
        self.terms(self.nodes.len() - 1, 1.0, &mut out);
        out
    }

    /// The part without predictors, as plain numbers.
    pub(super) fn constant_plan(&self, predictors: usize) -> Plan {
        let mut plan = Plan::default();
        let terms = self.all_terms().into_iter().filter(|&(_, t)| self.plain(t, predictors));
        plan.rest = plan.sum(self, terms).map(|(_, place)| place);
        plan
    }

    /// The whole, as plain numbers.
    pub(super) fn plain_plan(&self) -> Plan {
        let mut plan = Plan::default();
        plan.rest = Some(plan.place(self, self.nodes.len() - 1).1);
        plan
    }

    /// The part with predictors, for derivatives in the first `dims` of them.
    pub(super) fn plan(&self, dims: usize, predictors: usize) -> Plan {
        let mut plan = Plan { dims, ..Plan::default() };
        let terms = self.all_terms().into_iter().filter(|&(_, t)| !self.plain(t, predictors));
        let (rest, varying): (Vec<_>, Vec<_>) = terms.partition(|&(_, t)| self.plain(t, dims));
        if let Some(sum) = plan.sum(self, varying.into_iter()) {
            plan.varying = Some(plan.moved(sum, Kind::Full));
        }
        plan.main = plan.work.len();
        plan.rest = plan.sum(self, rest.into_iter()).map(|(_, place)| place);
        plan
    }
}

impl Plan {
    fn new_place(&mut self, kind: Kind) -> usize {
        let count = match kind {
            Kind::Plain => &mut self.counts[0],
            Kind::Single(_) => &mut self.counts[1],
            Kind::Full => &mut self.counts[2],
        };
        *count += 1;
        *count - 1
    }

    /// The sum of terms, those of one kind first.
    fn sum(&mut self, tape: &Tape, terms: impl Iterator<Item = (f64, usize)>) -> Option<Place> {
        let mut sums: Vec<Place> = Vec::new();
        for (sign, term) in terms {
            let place = self.place(tape, term);
            let same = sums.iter().position(|s| s.0 == place.0);
            let op = if sign > 0.0 { Op::Add } else { Op::Subtract };
            match same {
                Some(s) => sums[s] = self.call(op, &[sums[s], place]),
                None if sign > 0.0 => sums.push(place),
                None => sums.push(self.call(Op::Negative, &[place])),
            }
        }
        sums.sort_unstable();
        sums.into_iter().reduce(|a, b| self.call(Op::Add, &[a, b]))
    }

    /// Where a node's number is, after the work for it.
    fn place(&mut self, tape: &Tape, node: usize) -> Place {
        if let Some(place) = self.known.get(&node) {
            return *place;
        }
        let kind = match tape.nodes[node] {
            Node::Predictor(k) if k < self.dims => Kind::Single(k),
            _ => Kind::Plain,
        };
        let place = match tape.nodes[node] {
            Node::Call(op, args) => {
                let args = args.map(|a| self.place(tape, a));
                self.call(op, &args[..op.arity()])
            }
            leaf => {
                let out = self.new_place(kind);
                match leaf {
                    Node::Constant(value) => self.constants.push((out, value)),
                    Node::Y => self.work.push(Work::Y { out }),
                    Node::Predictor(predictor) if kind == Kind::Plain => {
                        self.work.push(Work::Given { predictor, out });
                    }
                    Node::Predictor(predictor) => self.work.push(Work::Variable { predictor, out }),
                    _ => self.work.push(Work::Size { out }),
                }
                (kind, out)
            }
        };
        self.known.insert(node, place);
        place
    }

    /// The work of an operation; some are made of others, and those with plain numbers are cheaper.
    fn call(&mut self, op: Op, args: &[Place]) -> Place {
        let (first, second) = (args[0], args[args.len().min(2) - 1]);
        let plain = |place: Place| place.0 == Kind::Plain;
        match op {
            Op::Add | Op::Multiply if plain(first) && !plain(second) => self.call(op, &[second, first]),
            Op::Subtract if plain(first) != plain(second) => {
                let negative = self.call(Op::Negative, &[second]);
                self.call(Op::Add, &[first, negative])
            }
            Op::Divide if !plain(first) || !plain(second) => {
                let inverse = self.call(Op::Reciprocal, &[second]);
                self.call(Op::Multiply, &[first, inverse])
            }
            Op::Logaddexp => {
                let (most, least) = (self.call(Op::Maximum, args), self.call(Op::Minimum, args));
                let gap = self.call(Op::Subtract, &[least, most]);
                let more = self.call(Op::Softplus, &[gap]);
                self.call(Op::Add, &[most, more])
            }
            Op::Power if !plain(second) => {
                let log = self.call(Op::Log, &[first]);
                let product = self.call(Op::Multiply, &[second, log]);
                self.call(Op::Exp, &[product])
            }
            Op::Where if !plain(first) => {
                let not = self.call(Op::Not, &[first]);
                self.call(op, &[not, args[2], second])
            }
            Op::Add | Op::Multiply | Op::Power if plain(second) => {
                let (kind, out) = (first.0, self.new_place(first.0));
                self.work.push(Work::With { op, kind, arg: first.1, plain: second.1, out });
                (kind, out)
            }
            Op::Where => {
                let kind = joined(second.0, args[2].0);
                let (yes, no) = (self.moved(second, kind), self.moved(args[2], kind));
                let out = self.new_place(kind);
                self.work.push(Work::Where { kind, condition: first.1, args: [yes, no], out });
                (kind, out)
            }
            _ => self.direct(op, args),
        }
    }

    /// One operation on numbers of one kind.
    fn direct(&mut self, op: Op, args: &[Place]) -> Place {
        let kind = args.iter().fold(Kind::Plain, |kind, place| joined(kind, place.0));
        let places = [0, 1].map(|k| self.moved(args[k.min(args.len() - 1)], kind));
        let result = if op.is_step() { Kind::Plain } else { kind };
        let out = self.new_place(result);
        self.work.push(match op.is_step() {
            true => Work::Step { op, kind, args: places, out },
            false => Work::Call { op, kind, args: places, out },
        });
        (result, out)
    }

    /// Where the same number is as one of another kind.
    fn moved(&mut self, place: Place, kind: Kind) -> usize {
        if place.0 == kind {
            return place.1;
        }
        if let Some(out) = self.moved.get(&(place, kind)) {
            return *out;
        }
        let out = self.new_place(kind);
        self.work.push(match place.0 {
            Kind::Single(predictor) => Work::Embed { predictor, arg: place.1, out },
            _ => Work::Raise { kind, plain: place.1, out },
        });
        self.moved.insert((place, kind), out);
        out
    }
}

fn joined(a: Kind, b: Kind) -> Kind {
    match (a, b) {
        (Kind::Plain, other) | (other, Kind::Plain) => other,
        (Kind::Single(j), Kind::Single(k)) if j == k => a,
        _ => Kind::Full,
    }
}
