// Every template, token by token.
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/core/error.h"
#include "io/dataset/text_show.h"
#include "tests/dataset/toy_tokenizer.h"

namespace rankine {
namespace {

using testing_support::chat;
using testing_support::completion;
using testing_support::marked;
using testing_support::ToyTokenizer;

const ToyTokenizer& llama() {
  static const ToyTokenizer tokenizer({"<s>", "</s>"});
  return tokenizer;
}
const ToyTokenizer& qwen_vocabulary() {
  static const ToyTokenizer tokenizer({"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"},
                                      false);
  return tokenizer;
}
const ToyTokenizer& glm_vocabulary(bool roles, bool brackets) {
  static const ToyTokenizer first({"[MASK]", "[gMASK]", "<sop>", "<eop>", "</s>"}, false);
  static const ToyTokenizer second({"[MASK]", "[gMASK]", "sop", "eop", "</s>"}, false);
  static const ToyTokenizer third(
      {"[gMASK]", "sop", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"}, false);
  return roles ? third : brackets ? first : second;
}

std::string rendered(const char* name, const Tokenizer& tokenizer, const Conversation& row,
                     const RenderOptions& options = {}) {
  return marked(ChatRenderer(builtin_template(name), tokenizer).render(row, options), tokenizer);
}
std::string prompt(const char* name, const Tokenizer& tokenizer, const Conversation& row,
                   const RenderOptions& options = {}) {
  return marked(ChatRenderer(builtin_template(name), tokenizer).render_prompt(row, options), tokenizer);
}

TEST(ChatTemplates, Llama2) {
  EXPECT_EQ(rendered("llama2", llama(), chat({" q ", "a", "r", "b"})),
            "<s>^[INST] q [/INST]{~ a </s>}<s>^[INST] r [/INST]{~ b </s>}");
  EXPECT_EQ(rendered("llama2", llama(), chat({"q", "a", "r", "b"}, "be nice")),
            "<s>^[INST] <<SYS>>\nbe nice\n<</SYS>>\n\nq [/INST]{~ a </s>}<s>^[INST] r [/INST]{~ b </s>}");
  EXPECT_EQ(prompt("llama2", llama(), chat({"q", "a"})), "<s>^[INST] q [/INST]");
  EXPECT_EQ(prompt("llama2", llama(), chat({"q", "a", "r"})),
            "<s>^[INST] q [/INST]~ a </s><s>^[INST] r [/INST]");
}

TEST(ChatTemplates, Llama3) {
  const ToyTokenizer tokenizer(
      {"<s>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"});
  EXPECT_EQ(rendered("llama3", tokenizer, chat({"q", "a"}, "s")),
            "<s><|start_header_id|>~system<|end_header_id|>~\n\ns<|eot_id|><|start_header_id|>~user"
            "<|end_header_id|>~\n\nq<|eot_id|><|start_header_id|>~assistant<|end_header_id|>~\n\n"
            "{~a<|eot_id|>}");
  EXPECT_EQ(prompt("llama3", tokenizer, chat({"q"})),
            "<s><|start_header_id|>~user<|end_header_id|>~\n\nq<|eot_id|><|start_header_id|>~assistant"
            "<|end_header_id|>~\n\n");
  const ChatRenderer renderer(builtin_template("llama3"), tokenizer);
  EXPECT_EQ(renderer.stops(), (std::vector<std::int32_t>{259, 262}));
}

TEST(ChatTemplates, MistralHasTokensOrTextForItsMarks) {
  EXPECT_EQ(rendered("mistral", llama(), chat({"q", "a", "r", "b"}, "s")),
            "<s>^[INST] s\n\nq[/INST]{~ a</s>}~[INST] r[/INST]{~ b</s>}");
  const ToyTokenizer v3({"<s>", "</s>", "[INST]", "[/INST]"});
  EXPECT_EQ(rendered("mistral", v3, chat({"q", "a", "r", "b"})),
            "<s>[INST]~ q[/INST]{~ a</s>}[INST]~ r[/INST]{~ b</s>}");
}

TEST(ChatTemplates, Qwen) {
  const std::string system =
      "<|im_start|>~system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
      "assistant.<|im_end|>~\n";
  EXPECT_EQ(
      rendered("qwen", qwen_vocabulary(), chat({"q", "a", "r", "b"})),
      system +
          "<|im_start|>~user\nq<|im_end|>~\n<|im_start|>~assistant\n{~a<|im_end|>}~\n<|im_start|>~user\n"
          "r<|im_end|>~\n<|im_start|>~assistant\n{~b<|im_end|>}");
  EXPECT_EQ(rendered("qwen2", qwen_vocabulary(), chat({"q", "a"}, "s")),
            "<|im_start|>~system\ns<|im_end|>~\n<|im_start|>~user\nq<|im_end|>~\n<|im_start|>~assistant\n"
            "{~a<|im_end|>}");
  EXPECT_EQ(rendered("chatml", qwen_vocabulary(), chat({"q", "a"})),
            "<|im_start|>~user\nq<|im_end|>~\n<|im_start|>~assistant\n{~a<|im_end|>}");
}

TEST(ChatTemplates, Qwen3ThinksOrSaysThatItDoesNot) {
  const std::string start = "<|im_start|>~user\nq<|im_end|>~\n<|im_start|>~assistant\n";
  const std::string empty = "<think>~\n\n</think>~\n\n";
  EXPECT_EQ(rendered("qwen3", qwen_vocabulary(), chat({"q", "a"})), start + empty + "{~a<|im_end|>}");
  EXPECT_EQ(rendered("qwen3", qwen_vocabulary(), chat({"q", "<think>\nhm\n</think>\n\na"})),
            start + "{<think>~\nhm\n</think>~\n\na<|im_end|>}");
  // Earlier thoughts go, and an answer without them is not what the model is to write.
  EXPECT_EQ(rendered("qwen3", qwen_vocabulary(), chat({"q", "<think>hm</think>a", "q", "b"})),
            start + "~a<|im_end|>~\n" + start + empty + "{~b<|im_end|>}");
  EXPECT_EQ(prompt("qwen3", qwen_vocabulary(), chat({"q"})), start + empty);
  EXPECT_EQ(prompt("qwen3", qwen_vocabulary(), chat({"q"}), {.thinking = true}), start);
}

TEST(ChatTemplates, ChatGlm) {
  const Tokenizer& tokenizer = glm_vocabulary(false, true);
  const ChatRenderer renderer(builtin_template("chatglm"), tokenizer);
  const TokenSequence one = renderer.render(chat({"hi", "yo"}));
  EXPECT_EQ(marked(one, tokenizer), "^hi[gMASK]<sop>{^yo<eop>}");
  EXPECT_EQ(one.prefix, 4);  // ^ h i [gMASK]
  EXPECT_EQ(one.ids, (std::vector<std::int32_t>{256, 'h', 'i', 259, 260, 256, 'y', 'o', 261}));
  EXPECT_EQ(rendered("chatglm", tokenizer, chat({"q", "a", "r", "b"})),
            "^[Round 0]\n问：q\n答：a\n[Round 1]\n问：r\n答：[gMASK]<sop>{^b<eop>}");
  EXPECT_EQ(prompt("chatglm", tokenizer, chat({"q"})), "^q[gMASK]<sop>");
  EXPECT_EQ(renderer.render_prompt(chat({"q"})).prefix, 3);
}

TEST(ChatTemplates, ChatGlm2) {
  for (const bool brackets : {false, true}) {
    const Tokenizer& tokenizer = glm_vocabulary(false, brackets);
    const std::string sop = brackets ? "<sop>" : "sop";
    EXPECT_EQ(rendered("chatglm2", tokenizer, chat({"q", "a"})),
              "[gMASK]" + sop + "^[Round 1]\n\n问：q\n\n答：{^a</s>}");
    EXPECT_EQ(rendered("chatglm2", tokenizer, chat({"q", "a", "r", "b"})),
              "[gMASK]" + sop + "^[Round 1]\n\n问：q\n\n答：a\n\n[Round 2]\n\n问：r\n\n答：{^b</s>}");
  }
}

TEST(ChatTemplates, ChatGlm3AndGlm4TrainTheTokenThatOpensTheNextTurn) {
  const Tokenizer& tokenizer = glm_vocabulary(true, false);
  EXPECT_EQ(
      rendered("chatglm3", tokenizer, chat({"q", "a", "r", "b"}, "s")),
      "[gMASK]sop<|system|>^\n^s<|user|>^\n^q<|assistant|>{^\n^a<|user|>}^\n^r<|assistant|>{^\n^b</s>}");
  EXPECT_EQ(prompt("chatglm3", tokenizer, chat({"q", "a"})), "[gMASK]sop<|user|>^\n^q<|assistant|>");
  EXPECT_EQ(rendered("glm4", tokenizer, chat({"q", "a"})),
            "[gMASK]sop<|user|>^\n^q<|assistant|>{^\n^a<|user|>}");
  EXPECT_EQ(rendered("glm4", tokenizer, chat({"q", "a", "r", "b"}), {.mask_history = true}),
            "[gMASK]sop<|user|>^\n^q<|assistant|>^\n^a<|user|>^\n^r<|assistant|>{^\n^b<|user|>}");
}

TEST(ChatTemplates, AlpacaVicunaPlain) {
  const std::string preface =
      "<s>^Below is an instruction that describes a task. Write a response that appropriately completes the "
      "request.\n\n";
  EXPECT_EQ(rendered("alpaca", llama(), chat({"q", "a", "r", "b"})),
            preface +
                "### Instruction:\nq\n\n### Response:\n{~a</s>}~\n\n### Instruction:\nr\n\n### Response:\n"
                "{~b</s>}");
  Conversation with_input = chat({"q", "a"});
  with_input.messages[0].input = "i";
  EXPECT_EQ(rendered("alpaca", llama(), with_input),
            "<s>^Below is an instruction that describes a task, paired with an input that provides further "
            "context. Write a response that appropriately completes the request.\n\n### Instruction:\nq\n\n"
            "### Input:\ni\n\n### Response:\n{~a</s>}");
  EXPECT_EQ(rendered("llama2", llama(), with_input), "<s>^[INST] q\ni [/INST]{~ a </s>}");
  EXPECT_EQ(rendered("vicuna", llama(), chat({"q", "a", "r", "b"}, "S.")),
            "<s>^S. USER: q ASSISTANT:{~ a</s>}~USER: r ASSISTANT:{~ b</s>}");
  EXPECT_EQ(rendered("plain", llama(), chat({"Q: 1\nA: ", "2"})), "<s>^Q: 1\nA:{~ 2</s>}");
  EXPECT_EQ(prompt("plain", llama(), chat({"Q: 1\nA: "})), "<s>^Q: 1\nA:");
}

TEST(ChatTemplates, MasksFollowTheOptions) {
  const Conversation row = chat({"q", "a", "r", "b"});
  EXPECT_EQ(rendered("mistral", llama(), row, {.mask_history = true}),
            "<s>^[INST] q[/INST]~ a</s>~[INST] r[/INST]{~ b</s>}");
  EXPECT_EQ(rendered("mistral", llama(), row, {.train_on_prompt = true}),
            "{<s>^[INST] q[/INST]~ a</s>~[INST] r[/INST]~ b</s>}");
  Conversation weighted = row;
  weighted.messages[3].trained = false;
  EXPECT_EQ(rendered("mistral", llama(), weighted), "<s>^[INST] q[/INST]{~ a</s>}~[INST] r[/INST]~ b</s>");
}

TEST(ChatTemplates, TextOfPeopleIsNeverAControlToken) {
  const Conversation row = chat({"<|im_end|>{user}", "<|im_start|>"}, "<|endoftext|>");
  const ChatRenderer renderer(builtin_template("qwen"), qwen_vocabulary());
  const TokenSequence sequence = renderer.render(row);
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), 258), 0);  // <|endoftext|>
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), 259), 3);  // one <|im_start|> a message
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), 260), 3);
  EXPECT_NE(qwen_vocabulary().decode(sequence.ids).find("<|im_end|>{user}"), std::string::npos);
}

TEST(ChatTemplates, CompletionsNeedNoTemplate) {
  EXPECT_EQ(rendered("llama2", llama(), completion("once")), "<s>{^once</s>}");
  EXPECT_EQ(prompt("llama2", llama(), completion("once")), "<s>^once");
  EXPECT_EQ(rendered("qwen", qwen_vocabulary(), completion("once")), "{^once}");  // no EOS in this vocabulary
  EXPECT_EQ(rendered("chatglm3", glm_vocabulary(true, false), completion("once")), "[gMASK]sop{^once</s>}");
  EXPECT_EQ(rendered("chatglm", glm_vocabulary(false, true), completion("once")), "[gMASK]<sop>{^once<eop>}");
}

TEST(ChatTemplates, ThePromptIsWhatTrainingSawBeforeTheAnswer) {
  const ToyTokenizer all({"<s>", "</s>", "[gMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
                          "<|assistant|>", "<|observation|>", "<|im_start|>", "<|im_end|>",
                          "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<think>", "</think>"});
  for (const std::string& name : builtin_template_names()) {
    const ChatRenderer renderer(builtin_template(name), all);
    for (const Conversation& row : {chat({"q", "a"}), chat({"q ", " a", "r", "b"}, "s")}) {
      const TokenSequence whole = renderer.render(row, {.mask_history = true});
      const TokenSequence start = renderer.render_prompt(row);
      ASSERT_LT(start.ids.size(), whole.ids.size()) << name;
      EXPECT_TRUE(std::equal(start.ids.begin(), start.ids.end(), whole.ids.begin())) << name;
      EXPECT_EQ(start.prefix, whole.prefix);
      // From there on all is trained, up to a token that ends answers.
      for (std::size_t i = 0; i < whole.ids.size(); ++i) {
        EXPECT_EQ(whole.trained[i] != 0, i >= start.ids.size()) << name << " token " << i;
      }
      EXPECT_TRUE(renderer.is_stop(whole.ids.back())) << name;
    }
  }
}

TEST(ChatTemplates, CustomOnes) {
  const ChatTemplate own{.system = "<|im_start|>S {system}{{x}}<|im_end|>",
                         .user = "<|im_start|>U {user}",
                         .assistant = "<|im_start|>A {assistant}\n",
                         .stop = {"<|im_end|>"}};
  const ChatRenderer renderer(own, qwen_vocabulary());
  EXPECT_EQ(marked(renderer.render(chat({"q", "a"}, "s")), qwen_vocabulary()),
            "<|im_start|>~S s{x}<|im_end|><|im_start|>~U q<|im_start|>~A{~ a\n<|im_end|>}");
}

std::string refusal(const ChatTemplate& own, const Tokenizer& tokenizer) {
  try {
    const ChatRenderer renderer(own, tokenizer);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ChatTemplates, BadOnesAreRefusedByName) {
  EXPECT_NE(refusal(builtin_template("qwen"), llama()).find("no control token '<|im_start|>'"),
            std::string::npos);
  EXPECT_NE(refusal(builtin_template("chatglm2"), qwen_vocabulary()).find("none of the tokens sop <sop>"),
            std::string::npos);
  EXPECT_NE(refusal({.user = "{usr}"}, llama()).find("user: unknown place {usr}"), std::string::npos);
  EXPECT_NE(refusal({.user = "{user"}, llama()).find("never closes"), std::string::npos);
  EXPECT_NE(refusal({.user = "hello"}, llama()).find("user has no place"), std::string::npos);
  EXPECT_NE(refusal({.assistant = ""}, llama()).find("assistant has no place"), std::string::npos);
  EXPECT_NE(refusal({.user = "{generate}{user}"}, llama()).find("may only stand in assistant"),
            std::string::npos);
  EXPECT_NE(refusal({.stop = {"<end>"}}, llama()).find("'<end>'"), std::string::npos);
  EXPECT_NE(refusal(builtin_template("alpaca"), qwen_vocabulary()).find("no EOS token"), std::string::npos);
  EXPECT_THROW(builtin_template("lama"), ConfigError);
}

TEST(ChatTemplates, RolesMustTakeTurns) {
  const ChatRenderer renderer(builtin_template("plain"), llama());
  Conversation row = chat({"q", "a"});
  std::swap(row.messages[0], row.messages[1]);
  EXPECT_THROW(renderer.render(row), std::invalid_argument);
  EXPECT_THROW(renderer.render(chat({"q"})), std::invalid_argument);
  EXPECT_THROW(renderer.render(chat({})), std::invalid_argument);
}

TEST(ChatTemplates, ChosenByFamilyAndVocabulary) {
  const ToyTokenizer llama3({"<|start_header_id|>"});
  EXPECT_EQ(template_for("llama", llama()), "llama2");
  EXPECT_EQ(template_for("llama", llama3), "llama3");
  EXPECT_EQ(template_for("llama", qwen_vocabulary()), "chatml");
  EXPECT_EQ(template_for("mistral", llama()), "mistral");
  EXPECT_EQ(template_for("qwen2", qwen_vocabulary()), "qwen");
  EXPECT_EQ(template_for("qwen3", qwen_vocabulary()), "qwen3");
  EXPECT_EQ(template_for("chatglm", glm_vocabulary(true, false)), "chatglm3");
  EXPECT_EQ(template_for("chatglm", glm_vocabulary(false, false)), "chatglm2");
  EXPECT_EQ(template_for("gpt2", llama()), "alpaca");
}

// Recorded ids of the published vocabularies for the texts that the templates must produce.
class RecordedTokenizer final : public ToyTokenizer {
 public:
  RecordedTokenizer() : ToyTokenizer({"</s>"}, false) {}
  std::int32_t vocab_size() const override { return 65024; }
  std::vector<std::int32_t> encode(std::string_view text, bool begin) const override {
    EXPECT_TRUE(begin);
    if (text == "\n") return {30910, 13};
    if (text == "你好") return {36474, 54591};
    EXPECT_EQ(text, "[Round 1]\n\n问：你好\n\n答：");
    return {790, 30951, 517, 30910, 30939, 30996, 13, 13, 54761, 31211, 39701, 13, 13, 55437, 31211};
  }
  std::optional<std::int32_t> control(std::string_view text) const override {
    if (text == "[gMASK]") return 64790;
    if (text == "sop") return 64792;
    if (text == "<|system|>") return 64794;
    if (text == "<|user|>") return 64795;
    if (text == "<|assistant|>") return 64796;
    if (text == "<|observation|>") return 64797;
    return ToyTokenizer::control(text);
  }
};

TEST(ChatTemplates, ChatGlmVectors) {
  const RecordedTokenizer tokenizer;
  const ChatRenderer second(builtin_template("chatglm2"), tokenizer),
      third(builtin_template("chatglm3"), tokenizer);
  EXPECT_EQ(second.render_prompt(chat({"你好"})).ids,
            (std::vector<std::int32_t>{64790, 64792, 790, 30951, 517, 30910, 30939, 30996, 13, 13, 54761,
                                       31211, 39701, 13, 13, 55437, 31211}));
  EXPECT_EQ(third.render_prompt(chat({"你好"})).ids,
            (std::vector<std::int32_t>{64790, 64792, 64795, 30910, 13, 36474, 54591, 64796}));
}

TEST(ShowTokens, MarksWhatIsTrained) {
  const ChatRenderer renderer(builtin_template("plain"), llama());
  const TokenSequence sequence = renderer.render(chat({"q\n", "a"}));
  EXPECT_EQ(show_tokens(sequence, llama()), "<s> ^ q <0x0A>\n⟦~ a </s>⟧");
  EXPECT_EQ(show_tokens(sequence, llama(), TokenMarks::ansi),
            "\x1b[1m<s>\x1b[22m ^ q <0x0A>\n\x1b[32m~ a \x1b[1m</s>\x1b[22m\x1b[0m");
}

}  // namespace
}  // namespace rankine
