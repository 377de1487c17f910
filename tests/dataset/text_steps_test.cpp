// From conversations to batches: truncation, packing, schedule.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>

#include "engine/core/error.h"
#include "io/dataset/packing.h"
#include "io/dataset/text_batch.h"
#include "io/dataset/text_encode.h"
#include "io/dataset/text_schedule.h"
#include "tests/dataset/toy_tokenizer.h"

namespace rankine {
namespace {

using testing_support::chat;
using testing_support::completion;
using testing_support::marked;
using testing_support::ToyTokenizer;

const ToyTokenizer& vocabulary() {
  static const ToyTokenizer tokenizer({"<s>", "</s>", "[gMASK]", "<sop>", "<eop>"});
  return tokenizer;
}
const ChatRenderer& renderer(const char* name = "plain") {
  static std::map<std::string, ChatRenderer> made;
  return made.try_emplace(name, builtin_template(name), vocabulary()).first->second;
}

EncodedText encode(const std::vector<Conversation>& rows, int max_length, Truncation truncation,
                   const char* name = "plain") {
  return encode_text(rows, renderer(name), {.max_length = max_length, .truncation = truncation});
}

std::vector<std::string> shown(const EncodedText& encoded) {
  std::vector<std::string> out;
  for (const TokenSequence& one : encoded.sequences) out.push_back(marked(one, vocabulary()));
  return out;
}

using Strings = std::vector<std::string>;

TEST(EncodeText, WhatFitsStaysAsItIs) {
  const EncodedText encoded = encode({chat({"q", "a"}), chat({"qq", "aa"})}, 9, Truncation::left_prompt);
  EXPECT_EQ(shown(encoded), (Strings{"<s>^q{~a</s>}", "<s>^qq{~aa</s>}"}));
  EXPECT_EQ(encoded.sequences[1].row, 1U);
  EXPECT_TRUE(encoded.problems.empty());
  EXPECT_EQ(encoded.cut + encoded.dropped_long + encoded.dropped_untrained + encoded.windows, 0U);
  EXPECT_EQ(trained_tokens(encoded.sequences[0]), 3);
}

TEST(EncodeText, LeftPromptDropsOldExchangesFirst) {
  const Conversation row = chat({"q1", "a1", "q2", "a2", "q3", "a3"});
  // <s> ^q1 ~a1 </s> ~q2 ~a2 </s> ~q3 ~a3 </s>: 22 tokens; two exchanges 15, one 8.
  EXPECT_EQ(shown(encode({row}, 22, Truncation::left_prompt)),
            (Strings{"<s>^q1{~a1</s>}~q2{~a2</s>}~q3{~a3</s>}"}));
  EXPECT_EQ(shown(encode({row}, 21, Truncation::left_prompt)), (Strings{"<s>^q2{~a2</s>}~q3{~a3</s>}"}));
  const EncodedText encoded = encode({row}, 14, Truncation::left_prompt);
  EXPECT_EQ(shown(encoded), (Strings{"<s>^q3{~a3</s>}"}));
  EXPECT_EQ(encoded.cut, 1U);
  ASSERT_EQ(encoded.problems.size(), 1U);
  EXPECT_EQ(encoded.problems[0].severity, Severity::warning);
  EXPECT_EQ(encoded.problems[0].to_string(),
            "f:1: has 22 tokens, more than 14; the oldest 2 of 3 exchanges are left out");
}

TEST(EncodeText, LeftPromptThenCutsInputAndQuestionFromTheirBeginning) {
  Conversation row = chat({"question", "answer"}, "S");
  row.messages[0].input = "0123456789";
  // plain: <s> ^S\nquestion\n0123456789 ~answer </s>
  EXPECT_EQ(shown(encode({row}, 28, Truncation::left_prompt)),
            (Strings{"<s>^S\nquestion\n3456789{~answer</s>}"}));
  EXPECT_EQ(shown(encode({row}, 16, Truncation::left_prompt)), (Strings{"<s>^S\ntion{~answer</s>}"}));
  const Conversation wide = chat({"\xe7\x8c\xab\xe7\x8c\xab\xe7\x8c\xab", "a"});
  EXPECT_EQ(shown(encode({wide}, 9, Truncation::left_prompt)), (Strings{"<s>^\xe7\x8c\xab{~a</s>}"}));
}

TEST(EncodeText, AnswersThatLeaveNoRoomAreDroppedAndListed) {
  const std::vector<Conversation> rows{chat({"q", "a"}), chat({"q", "0123456789"})};
  const EncodedText encoded = encode(rows, 12, Truncation::left_prompt);
  EXPECT_EQ(encoded.sequences.size(), 1U);
  EXPECT_EQ(encoded.dropped_long, 1U);
  ASSERT_EQ(encoded.problems.size(), 1U);
  EXPECT_EQ(encoded.problems[0].severity, Severity::error);
  EXPECT_THROW(encode({rows[1]}, 12, Truncation::left_prompt), DataError);
}

TEST(EncodeText, OtherPolicies) {
  const std::vector<Conversation> rows{chat({"q", "a"}), chat({"q", "0123456789"}),
                                       chat({"0123456789", "a"})};
  const EncodedText right = encode(rows, 8, Truncation::right);
  EXPECT_EQ(shown(right), (Strings{"<s>^q{~a</s>}", "<s>^q{~0123}"}));
  EXPECT_EQ(right.cut, 1U);
  EXPECT_EQ(right.dropped_untrained, 1U);  // only the question is left
  const EncodedText dropped = encode(rows, 8, Truncation::drop);
  EXPECT_EQ(shown(dropped), (Strings{"<s>^q{~a</s>}"}));
  EXPECT_EQ(dropped.dropped_long, 2U);
  try {
    encode(rows, 8, Truncation::error);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_EQ(std::string(error.what()),
              "2 rows are too long:\n  f:1: has 15 tokens, more than 8\n  f:1: has 15 tokens, more than 8");
  }
  EXPECT_THROW(encode(rows, 7, Truncation::drop), std::invalid_argument);
}

TEST(EncodeText, RowsWithNothingToTrain) {
  Conversation untrained = chat({"q", "a"});
  untrained.messages[1].trained = false;
  const EncodedText encoded = encode({untrained, chat({"q", "a"})}, 32, Truncation::left_prompt);
  EXPECT_EQ(encoded.sequences.size(), 1U);
  EXPECT_EQ(encoded.sequences[0].row, 1U);
  EXPECT_EQ(encoded.dropped_untrained, 1U);
  EXPECT_EQ(encoded.problems[0].to_string(), "f:1: has nothing to train; left out");
  EXPECT_THROW(encode({untrained}, 32, Truncation::left_prompt), DataError);
}

TEST(EncodeText, CompletionsBecomeWindowsThatPredictEveryTokenOnce) {
  std::string text;
  for (int i = 0; i < 53; ++i) text += static_cast<char>('A' + i % 26);
  const TokenSequence whole = renderer().render(completion(text));
  for (const Truncation truncation : {Truncation::error, Truncation::right}) {
    const EncodedText encoded = encode({completion(text)}, 10, truncation);
    std::vector<std::int32_t> predicted{whole.ids[0]};
    for (std::size_t w = 0; w < encoded.sequences.size(); ++w) {
      const TokenSequence& window = encoded.sequences[w];
      EXPECT_LE(window.ids.size(), 10U);
      EXPECT_EQ(window.trained[0], 0);
      EXPECT_EQ(window.ids[0], predicted.back());
      predicted.insert(predicted.end(), window.ids.begin() + 1, window.ids.end());
      EXPECT_EQ(trained_tokens(window), static_cast<std::int64_t>(window.ids.size()) - 1);
    }
    EXPECT_EQ(predicted, whole.ids);
    EXPECT_EQ(encoded.windows, encoded.sequences.size() - 1);
    EXPECT_TRUE(encoded.problems.empty());
  }
}

TEST(EncodeText, WindowsOfAPrefixModelAllOpenAlike) {
  const EncodedText encoded = encode({completion("0123456789")}, 9, Truncation::left_prompt, "chatglm");
  EXPECT_EQ(shown(encoded), (Strings{"[gMASK]<sop>{^012345}", "[gMASK]<sop>5{6789<eop>}"}));
  EXPECT_EQ(encoded.sequences[1].prefix, 1);
}

TEST(EncodeText, ThreadsChangeNothing) {
  std::vector<Conversation> rows;
  for (int i = 0; i < 500; ++i)
    rows.push_back(chat({std::string(static_cast<std::size_t>(i % 40 + 1), 'q'), "a"}));
  const EncodedText one = encode_text(rows, renderer(), {.max_length = 24, .threads = 1});
  const EncodedText three = encode_text(rows, renderer(), {.max_length = 24, .threads = 3});
  EXPECT_EQ(shown(one), shown(three));
  EXPECT_EQ(one.problems.size(), three.problems.size());
  EXPECT_GT(one.cut, 0U);
}

TEST(Packing, EveryIndexOnceAndNoBinTooFull) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::int64_t> lengths(random() % 400);
    for (std::int64_t& length : lengths) length = 1 + random() % 100;
    const auto bins = pack(lengths, 100);
    std::vector<int> seen(lengths.size(), 0);
    std::int64_t total = 0;
    for (const auto& bin : bins) {
      std::int64_t filled = 0;
      for (const std::size_t i : bin) {
        ++seen[i];
        filled += lengths[i];
      }
      EXPECT_LE(filled, 100);
      EXPECT_FALSE(bin.empty());
      total += filled;
    }
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
    // 11/9 of the optimum plus 6/9, and the optimum is at least total / 100.
    EXPECT_LE(9.0 * static_cast<double>(bins.size()),
              11.0 * std::ceil(static_cast<double>(total) / 100) * 1.1 + 9);
    EXPECT_EQ(pack(lengths, 100), bins);
  }
}

TEST(Packing, IsFirstFitDecreasing) {
  const std::vector<std::int64_t> lengths{3, 8, 2, 5, 5, 7};
  EXPECT_EQ(pack(lengths, 10), (std::vector<std::vector<std::size_t>>{{1, 2}, {5, 0}, {3, 4}}));
  EXPECT_TRUE(pack({}, 10).empty());
  EXPECT_THROW(pack(std::vector<std::int64_t>{11}, 10), std::invalid_argument);
  EXPECT_THROW(pack(std::vector<std::int64_t>{0}, 10), std::invalid_argument);
}

TEST(Packing, AHundredThousandSamples) {
  std::mt19937 random(5);
  std::vector<std::int64_t> lengths(100'000);
  std::int64_t total = 0;
  for (std::int64_t& length : lengths) total += length = 1 + random() % 700;
  const auto bins = pack(lengths, 2048);
  EXPECT_LT(static_cast<double>(bins.size()) * 2048 / static_cast<double>(total), 1.01);
}

TokenSequence sequence(std::vector<std::int32_t> ids, std::vector<std::uint8_t> trained,
                       std::int32_t prefix = 0) {
  return {std::move(ids), std::move(trained), prefix, 0};
}

TEST(TextBatches, PackedSamplesKeepToThemselves) {
  const std::vector<TokenSequence> samples{sequence({11, 12, 13}, {0, 1, 1}), sequence({21, 22}, {1, 1}),
                                           sequence({31, 32, 33, 34}, {0, 0, 0, 1})};
  const TextBatch batch = make_text_batch(samples, {{0, 1}, {2}}, {.pad_id = 9, .multiple = 4});
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.columns, 8);
  using I = std::vector<std::int32_t>;
  EXPECT_EQ(batch.ids, (I{11, 12, 13, 21, 22, 9, 9, 9, 31, 32, 33, 34, 9, 9, 9, 9}));
  EXPECT_EQ(batch.positions, (I{0, 1, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0}));
  EXPECT_EQ(batch.targets, (I{12, 13, 0, 22, 0, 0, 0, 0, 32, 33, 34, 0, 0, 0, 0, 0}));
  EXPECT_EQ(batch.weights, (std::vector<float>{1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(batch.visible, (I{0, 1, 0, 2, 0, 3, 3, 4, 3, 5, 5, 6, 6, 7, 7, 8,
                              0, 1, 0, 2, 0, 3, 0, 4, 4, 5, 5, 6, 6, 7, 7, 8}));
  EXPECT_EQ(batch.trained_tokens, 4);
  EXPECT_TRUE(batch.block_positions.empty());
  ASSERT_EQ(batch.segments.size(), 3U);
  EXPECT_EQ(batch.segments[1].begin, 3);
  EXPECT_EQ(batch.segments[2].row, 1);
}

TEST(TextBatches, ChatGlmPrefixAndTwoDimensionalPositions) {
  // text text [gMASK] <sop> answer <eop>, behind another sample.
  const std::vector<TokenSequence> samples{sequence({1, 2}, {0, 1}),
                                           sequence({5, 6, 7, 8, 9, 10}, {0, 0, 0, 0, 1, 1}, 3)};
  const TextBatch batch = make_text_batch(samples, {{0, 1}}, {.block_positions = true});
  using I = std::vector<std::int32_t>;
  EXPECT_EQ(batch.positions, (I{0, 1, 0, 1, 2, 2, 2, 2}));
  EXPECT_EQ(batch.block_positions, (I{0, 0, 0, 0, 0, 1, 2, 3}));
  EXPECT_EQ(batch.visible, (I{0, 1, 0, 2, 2, 5, 2, 5, 2, 5, 2, 6, 2, 7, 2, 8}));
}

TEST(TextBatches, SlidingWindow) {
  const std::vector<TokenSequence> samples{sequence({1, 2}, {0, 1}), sequence({3, 4, 5, 6}, {0, 1, 1, 1})};
  const TextBatch batch = make_text_batch(samples, {{0, 1}}, {.multiple = 1, .window = 2});
  EXPECT_EQ(batch.visible, (std::vector<std::int32_t>{0, 1, 0, 2, 2, 3, 2, 4, 3, 5, 4, 6}));
}

TEST(TextBatches, MisuseIsRefused) {
  const std::vector<TokenSequence> samples{sequence({1, 2}, {0, 1})};
  EXPECT_THROW(make_text_batch(samples, {{1}}), std::invalid_argument);
  EXPECT_THROW(make_text_batch(samples, {{}}), std::invalid_argument);
  EXPECT_THROW(make_text_batch(samples, {{0}}, {.multiple = 0}), std::invalid_argument);
}

std::vector<TokenSequence> many(std::size_t count) {
  std::vector<TokenSequence> samples;
  for (std::size_t i = 0; i < count; ++i) {
    TokenSequence one;
    const std::size_t length = 2 + i * 7 % 23;
    for (std::size_t t = 0; t < length; ++t) {
      one.ids.push_back(static_cast<std::int32_t>(1 + i * 100 + t));
      one.trained.push_back(t > length / 2);
    }
    one.trained.back() = 1;
    samples.push_back(std::move(one));
  }
  return samples;
}

TEST(TextSchedules, EverySampleOnceAnEpochAndTargetsStayInTheirSample) {
  const std::vector<TokenSequence> samples = many(103);
  for (const bool packing : {false, true}) {
    TextSchedule schedule(
        samples, {.batch_size = 3, .accumulation = 2, .packing = packing, .max_length = 40, .seed = 4});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int> seen(samples.size(), 0);
      for (std::int64_t s = 0; s < schedule.steps_per_epoch(); ++s) {
        const TextStep step = schedule.step(epoch * schedule.steps_per_epoch() + s);
        EXPECT_EQ(step.epoch, epoch);
        std::int64_t trained = 0;
        for (const TextRows& rows : step.micro_batches) {
          EXPECT_LE(rows.size(), 3U);
          const TextBatch batch = make_text_batch(samples, rows);
          EXPECT_LE(batch.columns, 40);
          trained += batch.trained_tokens;
          for (const auto& row : rows) {
            for (const std::size_t i : row) ++seen[i];
          }
          for (std::size_t i = 0; i < batch.ids.size(); ++i) {
            if (batch.weights[i] == 0) continue;
            EXPECT_EQ(batch.targets[i], batch.ids[i] + 1);
            EXPECT_EQ(batch.ids[i] / 100, batch.targets[i] / 100);
          }
        }
        EXPECT_EQ(trained, step.trained_tokens);
        EXPECT_GT(trained, 0);
      }
      EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
    }
  }
}

TEST(TextSchedules, AreAFunctionOfSeedAndStep) {
  const std::vector<TokenSequence> samples = many(50);
  const TextScheduleOptions options{.batch_size = 4, .packing = false, .seed = 1};
  TextSchedule first(samples, options), second(samples, options);
  const std::int64_t steps = first.steps_per_epoch();
  EXPECT_EQ(steps, 13);
  std::vector<std::vector<TextRows>> forward;
  for (std::int64_t s = 0; s < 2 * steps; ++s) forward.push_back(first.step(s).micro_batches);
  for (std::int64_t s = 2 * steps - 1; s >= 0; --s) {
    EXPECT_EQ(second.step(s).micro_batches, forward[static_cast<std::size_t>(s)]);
  }
  EXPECT_NE(forward[0], forward[static_cast<std::size_t>(steps)]);  // epochs differ
  TextSchedule other(samples, {.batch_size = 4, .packing = false, .seed = 2});
  EXPECT_NE(other.step(0).micro_batches, forward[0]);
}

TEST(TextSchedules, BatchTimesAccumulationIsWhatCounts) {
  const std::vector<TokenSequence> samples = many(61);
  const auto rows_of = [&samples](int batch, int accumulation, std::int64_t step) {
    TextSchedule schedule(samples,
                          {.batch_size = batch, .accumulation = accumulation, .max_length = 30, .seed = 9});
    const TextStep one = schedule.step(step);
    TextRows rows;
    for (const TextRows& micro : one.micro_batches) rows.insert(rows.end(), micro.begin(), micro.end());
    return std::make_pair(rows, one.trained_tokens);
  };
  for (const std::int64_t step : {0, 1, 3}) {
    EXPECT_EQ(rows_of(4, 2, step), rows_of(2, 4, step));
    EXPECT_EQ(rows_of(4, 2, step), rows_of(8, 1, step));
  }
}

TEST(TextSchedules, MisuseIsRefused) {
  const std::vector<TokenSequence> samples = many(3);
  EXPECT_THROW(TextSchedule(samples, {.batch_size = 0}), std::invalid_argument);
  EXPECT_THROW(TextSchedule(samples, {.max_length = 8}), std::invalid_argument);
  EXPECT_THROW(TextSchedule({}, {}), DataError);
}

}  // namespace
}  // namespace rankine
