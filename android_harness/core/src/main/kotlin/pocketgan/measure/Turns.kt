package pocketgan.measure

/**
 * Order of the models in each round: rotated by one every second round, and back to front in between, so that each
 * model stands equally often early and late, before and after each other (bench/schema/conformance/turns.json).
 */
fun turns(models: Int, rounds: Int): List<List<Int>> =
    List(rounds) { round ->
        val start = round / 2 % models
        val order = List(models) { (start + it) % models }
        if (round % 2 == 0) order else order.reversed()
    }

/** How many frames of each model every round has; no round is empty (bench/schema/conformance/rounds.json). */
fun framesOfRounds(iterations: Long, rounds: Long): List<Long> {
    val filled = minOf(rounds, iterations)
    return List(Math.toIntExact(filled)) { iterations / filled + (if (it < iterations % filled) 1 else 0) }
}
