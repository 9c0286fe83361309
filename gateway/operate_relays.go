package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// personsAct is what the verbs that relay a person's act to e-RS have in common.
type personsAct struct {
	*operator
	outcome, recommendation, text, priority, code, behalf, token string
}

func (r *personsAct) flags(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&r.text, "text", "", "file with the words (-: standard input)")
	c.Flags().StringVar(&r.behalf, "on-behalf-of", "", "SDS user id of the clinician whom you act for, as their admin")
	c.Flags().StringVar(&r.token, "user-token-file", "", "file with your CIS2 ID token; left out, it is held until you release it")
	return r.operator.flags(c, true)
}

// run posts the act.
func (r *personsAct) run(cmd *cobra.Command, id, verb string) error {
	more := map[string]any{}
	if r.text != "" {
		b, err := input([]string{r.text}, r.std.in)
		if err != nil {
			return err
		}
		more["text"] = strings.TrimRight(string(b), "\r\n")
	}
	if r.token != "" {
		b, err := input([]string{r.token}, r.std.in)
		if err != nil {
			return err
		}
		r.signIn = strings.TrimSpace(string(b))
	}
	for key, value := range map[string]string{"outcome": r.outcome, "recommendation": r.recommendation, "priority": r.priority, "code": r.code, "on_behalf_of": r.behalf} {
		if value != "" {
			more[key] = value
		}
	}
	return r.act(cmd.Context(), "cases", id, verb, more)
}

func answerVerb(std stdio) *cobra.Command {
	r := &personsAct{operator: &operator{std: std}}
	c := &cobra.Command{Use: "answer CASE --outcome CODE --text FILE", Short: "as the specialist, answer advice that was asked in e-RS (A026)",
		Example: "  gateway answer CASE --outcome RETURN_TO_REFERRER_WITH_ADVICE --recommendation REFERRAL_RECOMMENDED --text advice.txt --user-token-file id-token.txt --reason 'seen with the photos'",
		Args:    cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0], "answer") }}
	c.Flags().StringVar(&r.outcome, "outcome", "", "RETURN_TO_REFERRER_WITH_ADVICE or REQUIRE_FURTHER_INFORMATION; a conversion is made in e-RS alone")
	c.Flags().StringVar(&r.recommendation, "recommendation", "", "with advice: ADVICE_ONLY_NO_REFERRAL_RECOMMENDED, ADVICE_FOLLOWED_BY_REFERRAL_IF_REQUIRED, REFERRAL_RECOMMENDED, OTHER")
	c.Flags().StringVar(&r.priority, "priority", "", "ROUTINE, URGENT or TWO_WEEK_WAIT; left out: as it is")
	_ = c.MarkFlagRequired("outcome")
	_ = c.MarkFlagRequired("text")
	return r.flags(c)
}

func triageVerb(std stdio) *cobra.Command {
	r := &personsAct{operator: &operator{std: std}}
	c := &cobra.Command{Use: "triage CASE --outcome CODE --text FILE", Short: "as the specialist, record the outcome of a triage in e-RS (A028)",
		Example: "  gateway triage CASE --outcome ACCEPT_REFER_BOOK_LATER --text comment.txt --user-token-file id-token.txt --reason 'clinic within two weeks'",
		Args:    cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0], "triage") }}
	c.Flags().StringVar(&r.outcome, "outcome", "", "ACCEPT_REFER_BOOK_LATER or RETURN_TO_REFERRER_WITH_ADVICE")
	c.Flags().StringVar(&r.priority, "priority", "", "with ACCEPT_REFER_BOOK_LATER: ROUTINE, URGENT or TWO_WEEK_WAIT; left out: as it is. A lowered suspected cancer waits for its referrer (agree)")
	_ = c.MarkFlagRequired("outcome")
	_ = c.MarkFlagRequired("text")
	return r.flags(c)
}

func cancelVerb(std stdio) *cobra.Command {
	r := &personsAct{operator: &operator{std: std}}
	c := &cobra.Command{Use: "cancel CASE --because CODE [--text FILE]", Short: "as its referrer or provider, end a referral in e-RS for good (A036)",
		Example: "  gateway cancel CASE --because RAISED_IN_ERROR --user-token-file id-token.txt --reason 'sent twice by the practice'",
		Args:    cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0], "cancel") }}
	c.Flags().StringVar(&r.code, "because", "", "a code of e-RS's REFERRAL-CANCELLATION-REASON; one that you may not give is refused with those that you may")
	_ = c.MarkFlagRequired("because")
	return r.flags(c)
}

func agreeVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: "agree CASE", Short: "as its referrer, agree that the provider lowers the priority of a suspected cancer",
		Example: "  gateway agree CASE --reason 'spoke to the consultant: not a melanoma'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.act(cmd.Context(), "cases", args[0], "agree", nil)
		}}
	return o.flags(c, true)
}
