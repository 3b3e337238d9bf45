package pocketgan.app

import pocketgan.measure.Cancellation

/** What the harness does. */
internal sealed interface Doing {
    object Waiting : Doing

    /** [done] frames (of a timed Job: seconds) of [detail] are done. */
    data class Measuring(val session: String, val detail: String = "", val done: Long = 0) : Doing

    data class Cancelling(val session: String) : Doing

    /** Over; [error] says in one line why it ended early. */
    data class Ended(val session: String, val error: String?) : Doing
}

/** The one session that this process can be at, for the service that begins it and the screen that shows it. */
internal object Harness {
    private var cancellation: Cancellation? = null

    @get:Synchronized
    var doing: Doing = Doing.Waiting
        private set

    /** What cancels the session that begins now; null if another one is not over yet. */
    @Synchronized
    fun begin(session: String): Cancellation? {
        if (cancellation != null) return null
        doing = Doing.Measuring(session)
        return Cancellation().also { cancellation = it }
    }

    @Synchronized
    fun progress(session: String, detail: String, done: Long) {
        if (doing is Doing.Measuring) doing = Doing.Measuring(session, detail, done)
    }

    /** Ask the session to end between two frames; nothing if there is none. */
    @Synchronized
    fun cancel() {
        val session = (doing as? Doing.Measuring)?.session ?: return
        cancellation?.cancel()
        doing = Doing.Cancelling(session)
    }

    @Synchronized
    fun end(session: String, error: String?) {
        cancellation = null
        doing = Doing.Ended(session, error)
    }
}
