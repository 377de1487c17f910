// The rates of the device that a run computes on.
#pragma once

#include <optional>

#include "apps/rankine/cards.h"
#include "apps/rankine/session.h"

namespace rankine::app {

// The device that the run itself computes on: this machine's CPU, measured, or a card of the table. Nothing
// for a card that is not in it.
std::optional<CardSpec> card_of_run(const RunConfig& config);
// The same for a choice between ways of saving memory, which needs rates: those of an RTX 3090 for a card
// that is not known.
Card card_to_choose_by(const RunConfig& config);

}  // namespace rankine::app
