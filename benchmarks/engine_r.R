# One R engine on one problem in this process; prints its measurements as they come.
# usage: Rscript engine_r.R ENGINE PROBLEM_FOLDER FORMULA FAMILY GROUPS THREADS SECOND_LIMIT REML ZI
#        Rscript engine_r.R --versions
# Lines that start with "@@ " hold a JSON object, as measure.py prints them.

quoted <- function(s) paste0('"', gsub('(["\\\\])', "\\\\\\1", gsub("[^ -~]", " ", s)), '"')
json <- function(v) {
  if (!length(v)) return("[]")
  one <- if (is.character(v)) quoted(v)
    else if (is.logical(v)) ifelse(is.na(v), "null", tolower(v))
    else ifelse(is.finite(v), sprintf("%.17g", v), "null")
  if (length(v) == 1 && is.null(attr(v, "list"))) return(one)
  paste0("[", paste(one, collapse = ","), "]")
}
many <- function(v) structure(unname(v), list = TRUE)
emit <- function(...) {
  found <- list(...)
  body <- paste0(quoted(names(found)), ":", vapply(found, json, ""), collapse = ",")
  cat("\n@@ {", body, "}\n", sep = "")
  flush(stdout())
}
installed <- function(package)
  tryCatch(as.character(utils::packageVersion(package)), error = function(e) NULL)

arguments <- commandArgs(TRUE)
if (arguments[1] == "--versions") {
  for (package in c("lme4", "glmmTMB", "GLMMadaptive"))
    if (!is.null(installed(package))) do.call(emit, setNames(list(installed(package)), package))
  quit(status = 0)
}
engine <- arguments[1]; folder <- arguments[2]; formula <- as.formula(arguments[3])
family <- arguments[4]; groups <- strsplit(arguments[5], ",")[[1]]
threads <- as.integer(arguments[6]); second_limit <- as.numeric(arguments[7])
reml <- arguments[8] == "reml"; zi <- as.formula(arguments[9])
package <- strsplit(engine, " ")[[1]][1]
emit(version = installed(package))

files <- list.files(folder, "[.]f64$", full.names = TRUE)
data <- as.data.frame(lapply(setNames(files, sub("[.]f64$", "", basename(files))), function(f)
  readBin(f, "double", file.size(f) / 8, endian = "little")))
for (g in groups) data[[g]] <- factor(data[[g]])

imported <- system.time(suppressPackageStartupMessages(library(package, character.only = TRUE)))
emit(prepare_seconds = imported[["elapsed"]])

again <- data; again$y <- data$y2
calls <- list(
  "lme4" = function(d, nAGQ = 1L)
    if (family == "gaussian") lmer(formula, d, REML = reml)
    else if (family == "nbinom2") glmer.nb(formula, d, nAGQ = nAGQ)
    else glmer(formula, d, family = family, nAGQ = nAGQ),
  "lme4 nAGQ=0" = function(d) calls[["lme4"]](d, 0L),
  "glmmTMB" = function(d) glmmTMB(formula, d, family = family, REML = reml, ziformula = zi,
    control = glmmTMBControl(parallel = threads)),
  "GLMMadaptive" = function(d) {
    bar <- sub(".*\\((.*)\\)", "\\1", arguments[3])
    mixed_model(y ~ x + w, as.formula(paste("~", bar)), d, switch(family, binomial = binomial(),
      poisson = poisson(), nbinom2 = GLMMadaptive::negative.binomial()))
  })
fit <- calls[[engine]]
# Only lme4 refits a model object; the others fit the second response from the start.
refit_call <- function(m)
  if (package == "lme4" && family != "nbinom2") refit(m, data$y2) else fit(again)

notes <- character()
timed <- function(call) {
  gc()
  clock <- system.time(result <- withCallingHandlers(call(), warning = function(w) {
    notes <<- c(notes, substr(conditionMessage(w), 1, 160)); invokeRestart("muffleWarning") }))
  list(result = result, wall = clock[["elapsed"]], cpu = clock[["user.self"]] + clock[["sys.self"]])
}
# Median of several calls when one is short, as measure.py does.
settled <- function(call) {
  runs <- list()
  while (!length(runs) || (length(runs) < 15 && sum(vapply(runs, `[[`, 0, "wall")) < 0.5))
    runs[[length(runs) + 1]] <- timed(call)[c("wall", "cpu")]
  list(wall = median(vapply(runs, `[[`, 0, "wall")), cpu = median(vapply(runs, `[[`, 0, "cpu")))
}
memory_mb <- function(field) tryCatch({
  line <- grep(paste0("^", field), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}, error = function(e) NA_real_, warning = function(w) NA_real_)

read_fit <- function(m) {
  sds <- function(parts) unlist(lapply(parts, function(v) attr(v, "stddev")))
  found <- switch(package,
    lme4 = list(fixef(m), sds(VarCorr(m)),
      if (family == "nbinom2") getME(m, "glmer.nb.theta") else NA_real_,
      length(m@optinfo$conv$lme4$messages) == 0),
    glmmTMB = list(fixef(m)$cond, sds(VarCorr(m)$cond),
      if (family == "nbinom2") sigma(m) else NA_real_, m$fit$convergence == 0),
    GLMMadaptive = list(fixef(m), sqrt(diag(m$D)),
      if (family == "nbinom2") exp(m$phis) else NA_real_, isTRUE(m$converged)))
  emit(loglik = as.numeric(logLik(m)), beta = many(found[[1]]), sd = many(found[[2]]),
    shape = unname(found[[3]]), converged = found[[4]])
}

tryCatch({
  gc(); try(cat("5", file = "/proc/self/clear_refs"), silent = TRUE)
  before <- memory_mb("VmRSS")
  first <- timed(function() fit(data))
  emit(first_seconds = first$wall, first_cpu_seconds = first$cpu, before_mb = before,
    peak_mb = memory_mb("VmHWM"))
  read_fit(first$result)
  if (first$wall <= second_limit) {
    second <- settled(function() fit(data))
    emit(second_seconds = second$wall, second_cpu_seconds = second$cpu)
    third <- settled(function() refit_call(first$result))
    emit(refit_seconds = third$wall, refit_cpu_seconds = third$cpu)
  }
}, error = function(e) emit(error = substr(conditionMessage(e), 1, 300)))
emit(warnings = many(unique(notes)[seq_len(min(8, length(unique(notes))))]))
