"""Noise schedule, loss weights and samplers. The stored numbers are the published formulas in numpy, float64, because
diffusers keeps its tables in float32 and spaces some sigmas in its own way; its step functions are run beside, on the
same sigmas, and must agree."""
import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_euler_ancestral_discrete

from golden import Golden

STEPS, SHAPE, GAMMA = 10, (2, 15), 5.0
TRAINING = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
SAMPLERS = ("euler", "euler_karras", "euler_a", "dpmpp_2m", "dpmpp_2m_karras")


def network(y, t):
    """Stands for the U-Net: y is what it is shown, t the (fractional) timestep."""
    return 0.9 * np.tanh(y) + 0.1 + 0.0002 * t


class Schedule:
    def __init__(self, zero_terminal_snr=False):
        root = np.linspace(0.00085**0.5, 0.012**0.5, 1000)
        self.betas = root**2
        self.abar = np.cumprod(1 - self.betas)
        if zero_terminal_snr:  # Lin et al. 2023, algorithm 1
            s = np.sqrt(self.abar)
            s = (s - s[-1]) * s[0] / (s[0] - s[-1])
            self.abar = s**2
            self.betas = 1 - np.concatenate([self.abar[:1], self.abar[1:] / self.abar[:-1]])
        with np.errstate(divide="ignore"):
            self.sigmas = np.sqrt((1 - self.abar) / self.abar)

    def sigma_at(self, t):
        return np.exp(np.interp(t, np.arange(1000), np.log(self.sigmas)))

    def timestep_at(self, sigma):
        return np.interp(np.log(sigma), np.log(self.sigmas), np.arange(1000))

    def walk(self, karras):
        if karras:
            high, low, i = self.sigmas[-1] ** (1 / 7), self.sigmas[0] ** (1 / 7), np.arange(STEPS)
            s = (high + i / (STEPS - 1) * (low - high)) ** 7
        else:
            s = self.sigma_at(np.linspace(999, 0, STEPS))
        return np.append(s, 0.0)


def sample(schedule, sampler, prediction, noise, fresh):
    """One of the samplers in sigma space; returns timesteps, sigmas and the final latent."""
    sigmas = schedule.walk("karras" in sampler)
    timesteps = schedule.timestep_at(sigmas[:-1])
    x, before, h_before = noise * sigmas[0], None, None
    for i, (s, to) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        out = network(x / np.sqrt(s**2 + 1), timesteps[i])
        clean = x - s * out if prediction == "epsilon" else x / (s**2 + 1) - out * s / np.sqrt(s**2 + 1)
        if sampler.startswith("dpmpp_2m"):
            if to == 0:
                x = clean
                continue
            h = np.log(s) - np.log(to)
            d = clean if before is None else clean + (clean - before) * h / (2 * h_before)
            x, before, h_before = to / s * x - np.expm1(-h) * d, clean, h
        else:
            up = min(to, np.sqrt(to**2 * (s**2 - to**2) / s**2)) if sampler == "euler_a" else 0.0
            x = x + (x - clean) / s * (np.sqrt(to**2 - up**2) - s) + up * fresh[i]
    return timesteps, sigmas, x


def ddim(schedule, prediction, noise, timesteps):
    x = noise
    for i, t in enumerate(timesteps):
        a, b = schedule.abar[t], schedule.abar[timesteps[i + 1] if i + 1 < STEPS else 0]
        out = network(x, t)
        if prediction == "epsilon":
            clean, eps = (x - np.sqrt(1 - a) * out) / np.sqrt(a), out
        else:
            clean, eps = np.sqrt(a) * x - np.sqrt(1 - a) * out, np.sqrt(a) * out + np.sqrt(1 - a) * x
        x = np.sqrt(b) * clean + np.sqrt(1 - b) * eps
    return x


# ---- the same through diffusers' step functions ----

def step_by_step(scheduler, timesteps, x):
    for t in timesteps:
        t = torch.as_tensor(t)
        shown = scheduler.scale_model_input(x, t)
        x = scheduler.step(torch.from_numpy(network(shown.numpy(), t.numpy())), t, x).prev_sample
    return x.numpy()


def diffusers_sample(sampler, prediction, noise, fresh, timesteps, sigmas):
    kinds = {"euler": diffusers.EulerDiscreteScheduler, "euler_a": diffusers.EulerAncestralDiscreteScheduler,
             "dpmpp_2m": diffusers.DPMSolverMultistepScheduler}
    kind = sampler.removesuffix("_karras")
    extra = dict(final_sigmas_type="zero") if kind == "dpmpp_2m" else {}
    scheduler = kinds[kind](**TRAINING, prediction_type=prediction, **extra)
    scheduler.set_timesteps(STEPS)
    scheduler.timesteps, scheduler.sigmas = torch.from_numpy(timesteps), torch.from_numpy(sigmas)
    queue = iter(torch.from_numpy(fresh))
    scheduling_euler_ancestral_discrete.randn_tensor = lambda *a, **k: next(queue)
    scale = sigmas[0] if kind != "dpmpp_2m" else sigmas[0] / np.sqrt(sigmas[0] ** 2 + 1)  # that one keeps x / sqrt(..)
    return step_by_step(scheduler, timesteps, torch.from_numpy(noise * scale))


def diffusers_ddim(prediction, noise, **config):
    scheduler = diffusers.DDIMScheduler(**TRAINING, prediction_type=prediction, clip_sample=False,
                                        set_alpha_to_one=False, **config)
    scheduler.set_timesteps(STEPS)
    return scheduler.timesteps.numpy(), step_by_step(scheduler, scheduler.timesteps, torch.from_numpy(noise))


def agree(what, ours, theirs, tolerance=2e-4):
    error = np.linalg.norm(ours - theirs) / np.linalg.norm(ours)
    assert error < tolerance, f"{what}: diffusers differs by {error}"


def add(golden, name, array):
    return golden.add(name, torch.from_numpy(np.ascontiguousarray(array)))


def tables(golden):
    plain, zero = Schedule(), Schedule(zero_terminal_snr=True)
    theirs = diffusers.DDIMScheduler(**TRAINING)
    agree("betas", plain.betas, theirs.betas.numpy())
    agree("alphas_cumprod", plain.abar, theirs.alphas_cumprod.numpy())
    agree("zero terminal SNR", zero.betas, scheduling_ddim.rescale_zero_terminal_snr(theirs.betas).numpy())
    for name, array in (("betas", plain.betas), ("alphas_cumprod", plain.abar), ("sigmas", plain.sigmas),
                        ("zero_snr/betas", zero.betas), ("zero_snr/alphas_cumprod", zero.abar)):
        add(golden, f"out/{name}", array)
    snr = plain.abar / (1 - plain.abar)  # weights of Hang et al. 2023
    add(golden, "out/min_snr/epsilon", np.minimum(snr, GAMMA) / snr)
    add(golden, "out/min_snr/v_prediction", np.minimum(snr, GAMMA) / (snr + 1))
    return plain, zero


def conversions(golden, schedule):
    x0, eps = golden.input("x0", (4, 6)), golden.input("eps", (4, 6))
    t = torch.tensor([0, 37, 499, 999])
    golden.add("in/t", t)
    a = torch.from_numpy(schedule.abar)[t][:, None]
    x_t, v = a.sqrt() * x0 + (1 - a).sqrt() * eps, a.sqrt() * eps - (1 - a).sqrt() * x0
    theirs = diffusers.DDIMScheduler(**TRAINING)
    agree("noising", x_t.numpy(), theirs.add_noise(x0, eps, t).numpy())
    agree("velocity", v.numpy(), theirs.get_velocity(x0, eps, t).numpy())
    golden.add("out/x_t", x_t)
    golden.add("out/v", v)


def make():
    golden = Golden(name="schedules", steps=STEPS, gamma=GAMMA, network="0.9 tanh(y) + 0.1 + 0.0002 t")
    plain, zero = tables(golden)
    conversions(golden, plain)
    noise = golden.input("noise", SHAPE).numpy()
    fresh = golden.input("fresh_noise", (STEPS,) + SHAPE).numpy()
    for prediction in ("epsilon", "v_prediction"):
        for sampler in SAMPLERS:
            timesteps, sigmas, x = sample(plain, sampler, prediction, noise, fresh)
            agree(sampler, x, diffusers_sample(sampler, prediction, noise, fresh, timesteps, sigmas))
            for what, array in (("timesteps", timesteps), ("sigmas", sigmas), ("sample", x)):
                add(golden, f"out/{prediction}/{sampler}/{what}", array)
        leading = np.arange(STEPS)[::-1] * (1000 // STEPS) + 1
        x = ddim(plain, prediction, noise, leading)
        theirs = diffusers_ddim(prediction, noise, timestep_spacing="leading", steps_offset=1)
        assert (theirs[0] == leading).all()
        agree("ddim", x, theirs[1])
        add(golden, f"out/{prediction}/ddim/timesteps", leading)
        add(golden, f"out/{prediction}/ddim/sample", x)
    trailing = np.round(np.arange(1000, 0, -1000 / STEPS)).astype(int) - 1
    x = ddim(zero, "v_prediction", noise, trailing)
    theirs = diffusers_ddim("v_prediction", noise, timestep_spacing="trailing", rescale_betas_zero_snr=True)
    assert (theirs[0] == trailing).all()
    agree("ddim, zero terminal SNR", x, theirs[1])
    add(golden, "out/zero_snr/ddim/timesteps", trailing)
    add(golden, "out/zero_snr/ddim/sample", x)
    yield golden
