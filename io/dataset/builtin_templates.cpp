// The formats that published models were trained with.
#include <algorithm>
#include <array>

#include "engine/core/error.h"
#include "io/dataset/chat_template.h"

namespace rankine {

namespace {

// Taori et al. 2023, Stanford Alpaca.
ChatTemplate alpaca() {
  return {.name = "alpaca",
          .begin = "{bos?}",
          .system = "{system}\n\n",
          .default_system =
              "Below is an instruction that describes a task. Write a response that appropriately "
              "completes the request.",
          .default_system_with_input =
              "Below is an instruction that describes a task, paired with an input that provides further "
              "context. "
              "Write a response that appropriately completes the request.",
          .user = "### Instruction:\n{user}\n\n### Response:\n",
          .user_with_input = "### Instruction:\n{user}\n\n### Input:\n{input}\n\n### Response:\n",
          .assistant = "{assistant}{eos}\n\n",
          .stop = {"{eos}"}};
}

// Every exchange is a sequence of its own between BOS and EOS.
ChatTemplate llama2() {
  return {.name = "llama2",
          .system_in_user = "{bos}[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]",
          .user = "{bos}[INST] {user} [/INST]",
          .assistant = " {assistant} {eos}",
          .stop = {"{eos}"},
          .trim = true};
}

ChatTemplate llama3() {
  return {.name = "llama3",
          .begin = "{bos}",
          .system = "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>",
          .user = "<|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|>",
          .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n{assistant}<|eot_id|>",
          .stop = {"<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"},
          .trim = true};
}

ChatTemplate mistral() {
  return {.name = "mistral",
          .begin = "{bos}",
          .system_in_user = "[INST] {system}\n\n{user}[/INST]",
          .user = "[INST] {user}[/INST]",
          .assistant = " {assistant}{eos}",
          .stop = {"{eos}"}};
}

ChatTemplate chatml() {
  return {.name = "chatml",
          .begin = "{bos?}",
          .system = "<|im_start|>system\n{system}<|im_end|>\n",
          .user = "<|im_start|>user\n{user}<|im_end|>\n",
          .assistant = "<|im_start|>assistant\n{assistant}<|im_end|>\n",
          .stop = {"<|im_end|>", "<|endoftext|>"}};
}

ChatTemplate qwen(const char* name, const char* default_system) {
  ChatTemplate out = chatml();
  out.name = name;
  out.begin.clear();
  out.default_system = default_system;
  return out;
}

ChatTemplate qwen3() {
  ChatTemplate out = qwen("qwen3", "");
  out.thought = "<think>\n{thought}\n</think>\n\n";
  out.no_thought = "<think>\n\n</think>\n\n";
  return out;
}

// A lone question is the text itself; rounds count from 0. The models know no system text: it stands on top.
ChatTemplate chatglm() {
  return {.name = "chatglm",
          .system = "{system}\n",
          .user = "{user}",
          .history = "[Round {round}]\n问：{user}\n答：{assistant}\n",
          .user_after_history = "[Round {round}]\n问：{user}\n答：",
          .first_round = 0,
          .assistant = "[gMASK]{prefix}<sop>{generate}{begin}{assistant}<eop>",
          .completion = "[gMASK]{prefix}<sop>{begin}{assistant}<eop>",
          .stop = {"<eop>"}};
}

ChatTemplate chatglm2() {
  return {.name = "chatglm2",
          .begin = "[gMASK]{token:sop <sop>}{begin}",
          .system = "{system}\n\n",
          .user = "[Round {round}]\n\n问：{user}\n\n答：",
          .history = "[Round {round}]\n\n问：{user}\n\n答：{assistant}\n\n",
          .assistant = "{generate}{begin}{assistant}{eos}",
          .completion = "[gMASK]{token:sop <sop>}{begin}{assistant}{eos}",
          .stop = {"{eos}"}};
}

// Role token, then line end and text each encoded by themselves; the model writes the line end of its answer.
ChatTemplate chatglm3() {
  return {.name = "chatglm3",
          .begin = "[gMASK]{token:sop <sop>}",
          .system = "<|system|>{begin}\n{begin}{system}",
          .user = "<|user|>{begin}\n{begin}{user}",
          .assistant = "<|assistant|>{generate}{begin}\n{begin}{assistant}",
          .end = "{eos}",
          .completion = "[gMASK]{token:sop <sop>}{begin}{assistant}{eos}",
          .stop = {"{eos}", "<|user|>", "<|observation|>"}};
}

ChatTemplate glm4() {
  ChatTemplate out = chatglm3();
  out.name = "glm4";
  out.end = "<|user|>";
  out.stop = {"<|user|>", "<|observation|>", "<|endoftext|>"};
  return out;
}

// Chiang et al. 2023, version 1.1.
ChatTemplate vicuna() {
  return {.name = "vicuna",
          .begin = "{bos?}",
          .system = "{system} ",
          .default_system =
              "A chat between a curious user and an artificial intelligence assistant. The assistant "
              "gives helpful, detailed, and polite answers to the user's questions.",
          .user = "USER: {user} ",
          .assistant = "ASSISTANT: {assistant}{eos}",
          .stop = {"{eos}"}};
}

// Nothing between question and answer.
ChatTemplate plain() {
  return {.name = "plain",
          .begin = "{bos?}",
          .system = "{system}\n",
          .assistant = "{assistant}{eos}",
          .stop = {"{eos}"}};
}

const std::vector<ChatTemplate>& all() {
  static const std::vector<ChatTemplate> list{alpaca(),
                                              llama2(),
                                              llama3(),
                                              mistral(),
                                              qwen("qwen",
                                                   "You are Qwen, created by Alibaba Cloud. You are a "
                                                   "helpful assistant."),
                                              qwen("qwen2", "You are a helpful assistant."),
                                              qwen3(),
                                              chatglm(),
                                              chatglm2(),
                                              chatglm3(),
                                              glm4(),
                                              vicuna(),
                                              chatml(),
                                              plain()};
  return list;
}

}  // namespace

std::vector<std::string> builtin_template_names() {
  std::vector<std::string> names;
  for (const ChatTemplate& one : all()) names.push_back(one.name);
  return names;
}

const ChatTemplate& builtin_template(std::string_view name) {
  std::string names;
  for (const ChatTemplate& one : all()) {
    if (one.name == name) return one;
    names += (names.empty() ? "" : ", ") + one.name;
  }
  throw ConfigError(join("unknown chat template '", name, "'; known: ", names));
}

std::string template_for(std::string_view family, const Tokenizer& tokenizer) {
  constexpr std::int32_t kSmallGlm =
      100'000;  // ChatGLM2 and 3 have 65,024 ids, ChatGLM-6B and GLM-4 over 130,000
  const auto has = [&tokenizer](const char* text) { return tokenizer.control(text).has_value(); };
  if (family.find("glm") != std::string_view::npos) {
    const bool roles = has("<|user|>"), small = tokenizer.vocab_size() < kSmallGlm;
    if (roles) return small ? "chatglm3" : "glm4";
    return small ? "chatglm2" : "chatglm";
  }
  if (has("<|start_header_id|>")) return "llama3";
  if (family.starts_with("qwen3")) return "qwen3";
  if (family.starts_with("qwen")) return "qwen";
  if (has("<|im_start|>")) return "chatml";
  if (family.starts_with("mistral")) return "mistral";
  return family.starts_with("llama") ? "llama2" : "alpaca";
}

}  // namespace rankine
